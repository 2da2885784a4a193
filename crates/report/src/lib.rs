//! One result, several faces: Markdown, JSON, terminal tables and SVG plots.
