//! The connector's core, one behaviour a test: bytes, times and outcomes go in, bytes and outputs come out.

mod access;
mod acks;
mod apps;
mod confirm;
mod delivery;
mod disk;
mod durable;
mod file_frames_in;
mod file_frames_out;
#[allow(dead_code, reason = "some of it is for the simulation alone")]
mod file_system;
mod files;
mod files_ends;
mod files_faults;
mod files_late;
mod garbage;
mod gates;
mod handshake;
mod link2;
mod link2_faults;
mod links;
mod pair;
mod priorities;
mod pubsub;
mod pubsub_files;
mod pubsub_lasting;
mod pubsub_net;
mod receipts;
mod renewal;
mod requests;
mod revocation;
mod rig;
mod stop;
mod tokens;
mod wait_for_ack;
