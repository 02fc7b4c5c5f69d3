//! maitred
