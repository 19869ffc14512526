//! See `ARCHITECTURE.md`.

pub mod interrupt;
pub mod ping;
pub mod test_receive_messages;
pub mod test_send_messages;
pub mod tool;
