//! Prepared sounds: encoded once, shared by all who play them, the least used forgotten first.

use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of one law, 8,000 a second.
pub(crate) type Clip = Arc<[u8]>;

#[derive(Debug)]
pub(crate) struct Clips {
    most_bytes: usize,
    bytes: usize,
    clock: u64,
    kept: HashMap<String, (Clip, u64)>,
}

impl Clips {
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self { most_bytes, bytes: 0, clock: 0, kept: HashMap::new() }
    }

    pub(crate) fn get(&mut self, key: &str) -> Option<Clip> {
        self.clock += 1;
        let (clip, used) = self.kept.get_mut(key)?;
        *used = self.clock;
        Some(clip.clone())
    }

    pub(crate) fn put(&mut self, key: String, clip: Clip) {
        if clip.len() > self.most_bytes / 4 {
            return;
        }
        self.clock += 1;
        self.bytes += clip.len() + key.len();
        if let Some((old, _)) = self.kept.insert(key.clone(), (clip, self.clock)) {
            self.bytes -= old.len() + key.len();
        }
        while self.bytes > self.most_bytes {
            let Some(oldest) = self.kept.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone()) else {
                return;
            };
            if let Some((clip, _)) = self.kept.remove(&oldest) {
                self.bytes -= clip.len() + oldest.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_used_is_forgotten_first() {
        let mut clips = Clips::new(1_000);
        for name in ["a", "b", "c"] {
            clips.put(name.to_owned(), vec![0; 240].into());
        }
        clips.get("a");
        clips.put("d".to_owned(), vec![0; 240].into());
        clips.put("e".to_owned(), vec![0; 240].into());
        assert!(clips.get("a").is_some() && clips.get("b").is_none() && clips.get("e").is_some());
        clips.put("huge".to_owned(), vec![0; 300].into());
        assert!(clips.get("huge").is_none());
        assert!(clips.bytes <= 1_000);
    }
}
