//! commun-demo
