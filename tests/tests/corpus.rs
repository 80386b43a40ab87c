//! The corpora of the fuzz targets, replayed: the seeds, and whatever fuzzing has found.

use std::fs;

use callbox_tests::fuzz::TARGETS;
use callbox_tests::server::fixture;
use callbox_tests::wild::{Chance, torture};

#[test]
fn every_target_takes_its_corpus() {
    for (name, target) in TARGETS {
        let folder = fixture(&format!("corpus/{name}"));
        let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 5, "{} has few seeds", folder.display());
        for file in files {
            println!("{}", file.display());
            target(&fs::read(&file).unwrap());
        }
    }
}

/// No corpus without a target.
#[test]
fn every_corpus_has_a_target() {
    for entry in fs::read_dir(fixture("corpus")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(TARGETS.iter().any(|(target, _)| *target == name), "corpus/{name} belongs to no target");
    }
}

/// Bytes are bytes: each torture message goes to each target, and a few hundred
/// mutants too.
#[test]
fn every_target_takes_the_torture_messages() {
    let messages = torture().unwrap();
    let mut chance = Chance(0xf022);
    for (_, target) in TARGETS {
        for message in &messages {
            target(&message.bytes);
        }
        for _ in 0..300 {
            target(&chance.mutant(&messages));
        }
    }
}
