//! Where members come from.
//!
//! A source says who is there; it never empties the cluster. What cannot be
//! read or makes no sense is logged and leaves the last good roster in place.

pub mod file;
