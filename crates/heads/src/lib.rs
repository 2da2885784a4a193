//! MLP, SVM and linear heads, calibration, and bundles.
