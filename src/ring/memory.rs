//! What a ring lies in.

/// Contiguous bytes that a ring owns.
pub trait Memory: Sized {
    /// All of them.
    fn bytes(&self) -> &[u8];
    /// All of them, to write.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// Memory of another size, to move to; `None` if there is no room for it.
    fn other(&self, capacity: usize) -> Option<Self>;
}

/// Memory of the process.
#[derive(Debug, Default)]
pub struct Heap(Vec<u8>);

impl Memory for Heap {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    fn other(&self, capacity: usize) -> Option<Self> {
        Some(Self(vec![0; capacity]))
    }
}
