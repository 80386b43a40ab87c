//! A table of bounded size: what was not looked at for longest makes room.

use std::collections::BTreeMap;

#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    most: usize,
    entries: BTreeMap<K, (u64, V)>,
    /// By when they were last looked at.
    order: BTreeMap<u64, K>,
    looks: u64,
}

impl<K: Ord + Clone, V> Lru<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(1), entries: BTreeMap::new(), order: BTreeMap::new(), looks: 0 }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        let (looked, value) = self.entries.get_mut(key)?;
        self.looks += 1;
        self.order.remove(&std::mem::replace(looked, self.looks));
        self.order.insert(self.looks, key.clone());
        Some(value)
    }

    /// Takes the place of what stands there.
    pub(crate) fn put(&mut self, key: K, value: V) -> &mut V {
        if let Some((looked, _)) = self.entries.remove(&key) {
            self.order.remove(&looked);
        } else if self.entries.len() >= self.most
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.looks += 1;
        self.order.insert(self.looks, key.clone());
        &mut self.entries.entry(key).insert_entry((self.looks, value)).into_mut().1
    }

    /// Made when it is not there.
    pub(crate) fn make(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let value = match self.entries.remove(&key) {
            Some((looked, value)) => {
                self.order.remove(&looked);
                value
            }
            None => V::default(),
        };
        self.put(key, value)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> (usize, usize) {
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
        table.put(2, 20);
        assert_eq!(table.get(&1), Some(&mut 10));
        *table.make(3) = 30;
        let all = [1, 2, 3].map(|key| table.get(&key).copied());
        assert_eq!(all, [Some(10), None, Some(30)]);
        assert_eq!(*table.make(3), 30, "what stands is not made anew");
        assert_eq!(*table.put(3, 31), 31);
        for key in 0..1_000 {
            table.make(key);
        }
        assert_eq!(table.len(), (2, 2));
    }
}
