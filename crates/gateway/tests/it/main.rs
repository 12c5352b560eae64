//! The gate as clients meet it, in one test program.

mod adversity;
mod api;
mod gate;
mod support;
mod unit;
