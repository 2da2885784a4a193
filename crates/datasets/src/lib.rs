//! Label files and folders become samples; label policies; the drawn set.
