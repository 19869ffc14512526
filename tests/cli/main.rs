//! The programs as they are built, as their user sees them.
#![cfg(feature = "daemon")]

#[path = "../common/mod.rs"]
mod common;

mod chat;
mod doctor;
mod files;
mod menu;
mod operate;
mod programs;
mod receive;
mod rig;
mod send;
mod terminal;
mod top;
