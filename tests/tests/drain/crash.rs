//! A VM that crashes with streams open.
