pub mod aside;
pub mod error;
mod file;
mod lock;
mod names;

pub use error::StoreError;

#[cfg(test)]
mod testing;
