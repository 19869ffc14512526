//! What needs the system more closely than std, mio and nix reach: the only place for `unsafe`.
//!
//! Nothing does yet. Here belong files mapped into memory (the store of durable queues), socket options and counts that
//! no library offers (bytes that TCP has not confirmed), and the owner of a file. Each gets a file of its own with a safe
//! interface, and each `unsafe` a comment that says why it is sound.
