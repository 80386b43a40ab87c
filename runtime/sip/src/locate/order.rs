//! RFC 2782: by priority, and among equals by chance, as their weights say.

use std::collections::BTreeMap;

use crate::dice::Dice;

/// Of (priority, weight, what is meant).
pub(super) fn by_priority_and_weight<T>(records: Vec<(u16, u16, T)>, dice: &mut Dice) -> Vec<T> {
    let mut groups: BTreeMap<u16, Vec<(u64, T)>> = BTreeMap::new();
    for (priority, weight, what) in records {
        groups.entry(priority).or_default().push((weight.into(), what));
    }
    let mut ordered = Vec::new();
    for mut group in groups.into_values() {
        // Those without weight stand first, so that they have a small chance too.
        group.sort_by_key(|(weight, _)| *weight > 0);
        while !group.is_empty() {
            let mut thrown = dice.up_to(group.iter().map(|(weight, _)| weight).sum());
            let chosen = group.iter().position(|(weight, _)| match thrown.checked_sub(*weight) {
                None | Some(0) => true,
                Some(rest) => {
                    thrown = rest;
                    false
                }
            });
            ordered.push(group.remove(chosen.unwrap_or(0)).1);
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_come_first_and_weights_share() {
        let mut dice = Dice::new(1);
        let mut firsts = BTreeMap::new();
        for _ in 0..10_000 {
            let records = vec![(20, 9, "backup"), (10, 60, "a"), (10, 20, "b"), (10, 20, "c"), (10, 0, "d")];
            let ordered = by_priority_and_weight(records, &mut dice);
            assert_eq!((ordered.len(), ordered[4]), (5, "backup"));
            *firsts.entry(ordered[0]).or_insert(0) += 1;
        }
        let near = |name, expected: i32| (firsts[name] - expected).abs() < 300;
        assert!(near("a", 6_000) && near("b", 2_000) && near("c", 2_000), "{firsts:?}");
        assert!((1..500).contains(&firsts["d"]), "{firsts:?}");
    }

    #[test]
    fn without_weights_all_are_there() {
        let ordered = by_priority_and_weight(vec![(1, 0, 'a'), (0, 0, 'b'), (1, 0, 'c')], &mut Dice::new(1));
        assert_eq!(ordered, ['b', 'a', 'c']);
    }
}
