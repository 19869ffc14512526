//! A table whose ids do not come back: an id that outlived its entry finds nothing.

use std::fmt;

/// Names an entry of a table; an id that outlived its entry finds nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    index: u32,
    generation: u32,
}

impl Id {
    /// The id of these parts.
    #[must_use]
    pub(super) fn new(index: u32, generation: u32) -> Self {
        Self { index, generation }
    }

    /// How many entries the place has had before.
    #[must_use]
    pub(super) fn generation(self) -> u32 {
        self.generation
    }

    /// The entry's place in the table: small, and used again once the entry is gone.
    #[must_use]
    pub fn index(self) -> usize {
        self.index as usize
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// The table.
#[derive(Debug)]
pub struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Adds an entry. The table's size is bounded by its users' limits, far below `u32::MAX`.
    pub fn insert(&mut self, value: T) -> Id {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.value = Some(value);
            return Id { index, generation: slot.generation };
        }
        self.slots.push(Slot { generation: 0, value: Some(value) });
        Id { index: (self.slots.len() - 1) as u32, generation: 0 }
    }

    /// The entry, unless it is gone.
    #[must_use]
    pub fn get(&self, id: Id) -> Option<&T> {
        self.slots.get(id.index()).filter(|s| s.generation == id.generation)?.value.as_ref()
    }

    /// The entry, to change it.
    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        self.slots.get_mut(id.index()).filter(|s| s.generation == id.generation)?.value.as_mut()
    }

    /// Takes the entry out; its id is of no use from now on.
    pub fn remove(&mut self, id: Id) -> Option<T> {
        let slot = self.slots.get_mut(id.index()).filter(|s| s.generation == id.generation)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        Some(value)
    }

    /// All entries in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let id = Id { index: index as u32, generation: slot.generation };
            slot.value.as_ref().map(|value| (id, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_id_does_not_find_what_took_its_place() {
        let mut slots = Slots::default();
        let old = slots.insert('a');
        assert_eq!(slots.remove(old), Some('a'));
        let new = slots.insert('b');
        assert_eq!(old.index(), new.index());
        assert_eq!((slots.get(old), slots.get(new)), (None, Some(&'b')));
        assert_eq!(slots.remove(old), None);
        assert_eq!(slots.iter().collect::<Vec<_>>(), [(new, &'b')]);
    }
}
