//! What is not taken, and under which code.

mod node;

use callbox_model::Limits;
use node::{Node, component, core, guest, small, with_world};

#[test]
fn an_upload_is_refused_by_a_code_that_says_why() {
    let node = Node::new(Limits { functions: 50, ..small() });
    let good = component(&guest("", "", ""));
    let plain = |wat: &str| wat::parse_str(wat).unwrap();
    let world = "package test:odd; interface thing { call: func(); } world odd { include callbox:voice/call-handler@0.1.0; import thing; }";
    let odd = guest("(import \"test:odd/thing\" \"call\" (func $odd))", "(call $odd)", "");
    let other = "package test:other; world other { export run: func(); }";
    let bodies = "(func) ".repeat(60);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("not-wasm", b"#!/bin/sh\necho hello".to_vec()),
        ("invalid-wasm", good[..good.len() / 2].to_vec()),
        ("wrong-world", plain("(module (func (export \"handle\")))")),
        ("unknown-import", with_world(&odd, world, "odd")),
        ("wrong-world", with_world("(module (func (export \"run\")))", other, "other")),
        ("feature-off", plain("(module (memory 1 2 shared))")),
        ("feature-off", plain("(module (func (drop (v128.const i64x2 0 0))))")),
        ("too-many-functions", core(&guest("", "", &bodies))),
        ("memory-too-large", plain("(module (memory 60000))")),
        ("table-too-large", plain("(module (table 20000 funcref))")),
    ];
    for (code, upload) in cases {
        let refused = node.accept(upload).unwrap_err();
        assert_eq!(refused.code, code, "{refused}");
        assert_eq!(refused.status(), 422);
    }
    let refused = node.accept(vec![0; 33 << 20]).unwrap_err();
    assert_eq!((refused.code, refused.status()), ("too-large", 413));
}

#[test]
fn a_core_module_is_made_into_a_component_and_described() {
    let node = Node::new(small());
    let described = node.accept(core(&guest(node::NEXT, node::PARK, ""))).unwrap();
    assert_eq!(described.imports, ["events.next"]);
    assert_eq!(described.initial_memory_bytes, 65_536);
    let again = node.accept(described.component.clone()).unwrap();
    assert_eq!(again.digest, described.digest);
}

#[test]
fn a_bomb_for_the_compiler_is_seen_and_if_not_the_compiler_dies_alone() {
    // A loop, so that each local may be another after each `if`: the compiler keeps a value for each pair.
    let ifs: String =
        (0..32_000).map(|at| format!("(if (local.get 0) (then (local.set {} (i32.const 1))))", at % 4_000)).collect();
    let locals = format!("(local {})", "i32 ".repeat(4_000));
    let bomb = component(&guest("", "", &format!("(func {locals} (loop {ifs} (br_if 0 (local.get 1))))")));
    let node = Node::new(small());
    assert_eq!(node.accept(bomb.clone()).unwrap_err().code, "function-too-complex");
    let blind = Limits { function_locals_times_blocks: u64::MAX, compile_memory_bytes: 1 << 30, ..small() };
    let node = Node::new(blind);
    let refused = node.accept(bomb).map(|described| described.digest).unwrap_err();
    assert_eq!(refused.code, "compile-limit", "{refused}");
    assert!(refused.detail.contains("MiB of memory"), "{refused}");
}

#[test]
fn a_compiled_module_that_was_changed_is_compiled_again() {
    let node = Node::new(small());
    let module = node.module(1, &guest(node::RING, "(call $ring (i32.const 0) (i32.const 1024))", ""));
    let compiled = std::fs::read_dir(node.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "cwasm"))
        .unwrap();
    let honest = std::fs::read(&compiled).unwrap();
    let mut changed = honest.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    std::fs::remove_file(&compiled).unwrap();
    std::fs::write(&compiled, changed).unwrap();
    let (end, _) = node.end(node.start(&module));
    assert_eq!(end, callbox_sandbox::GuestEnd::Ok);
    assert_eq!(std::fs::read(&compiled).unwrap().len(), honest.len());
}
