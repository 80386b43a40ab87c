//! A table of bounded size: what was not looked at for longest makes room.

use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct Lru<K, V> {
    most: usize,
    entries: BTreeMap<K, (u64, V)>,
    /// By when they were last looked at.
    order: BTreeMap<u64, K>,
    looks: u64,
}

impl<K: Ord + Copy, V: Default> Lru<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), entries: BTreeMap::new(), order: BTreeMap::new(), looks: 0 }
    }

    pub(super) fn get(&mut self, key: K) -> Option<&mut V> {
        let (looked, value) = self.entries.get_mut(&key)?;
        self.looks += 1;
        self.order.remove(&std::mem::replace(looked, self.looks));
        self.order.insert(self.looks, key);
        Some(value)
    }

    /// Made when it is not there.
    pub(super) fn make(&mut self, key: K) -> &mut V {
        if !self.entries.contains_key(&key)
            && self.entries.len() >= self.most
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.looks += 1;
        let (looked, value) = self.entries.entry(key).or_insert_with(|| (self.looks, V::default()));
        self.order.remove(&std::mem::replace(looked, self.looks));
        self.order.insert(self.looks, key);
        value
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.entries.len(), self.order.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_not_looked_at_makes_room() {
        let mut table = Lru::<u32, u32>::new(2);
        *table.make(1) = 10;
        *table.make(2) = 20;
        assert_eq!(table.get(1), Some(&mut 10));
        *table.make(3) = 30;
        assert_eq!((table.get(1).copied(), table.get(2).copied(), table.get(3).copied()), (Some(10), None, Some(30)));
        assert_eq!(*table.make(3), 30, "what stands is not made anew");
        for key in 0..1_000 {
            table.make(key);
        }
        assert_eq!(table.len(), (2, 2));
    }
}
