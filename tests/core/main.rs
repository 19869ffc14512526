//! The connector's core, one behaviour a test: bytes, times and outcomes go in, bytes and outputs come out.

mod acks;
mod apps;
mod delivery;
mod garbage;
mod handshake;
mod links;
mod requests;
mod rig;
mod stop;
