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

/// Each limit of an upload's shape, one below what the upload needs, and then at it.
#[test]
fn an_upload_over_one_limit_alone_is_refused() {
    let nops = "(nop) ".repeat(2_000);
    let body = component(&guest("", "", &format!("(func {nops})")));
    let module = "(core module $m (memory 1))";
    let three = wat::parse_str(format!(
        "(component {module} (core module (memory 1)) (core module (memory 1)) (core instance (instantiate $m)))"
    ));
    let tables = component(&guest("", "", &"(table 1 funcref) ".repeat(4)));
    let many = wat::parse_str(format!("(component {module} {})", "(core instance (instantiate $m)) ".repeat(8)));
    type Set = fn(&mut Limits, u32);
    let cases: [(&str, &str, Vec<u8>, u32, Set); 4] = [
        ("function_body_bytes", "function-too-large", body, 2_002, |limits, most| limits.function_body_bytes = most),
        ("memories", "too-many-memories", three.unwrap(), 3, |limits, most| limits.memories = most),
        ("tables", "too-many-tables", tables, 4, |limits, most| limits.tables = most),
        ("core_instances", "too-many-instances", many.unwrap(), 8, |limits, most| limits.core_instances = most),
    ];
    for (name, code, upload, needs, set) in cases {
        let refusal = |most| {
            let mut limits = small();
            set(&mut limits, most);
            Node::new(limits).accept(upload.clone()).map(|described| described.digest).err()
        };
        let refused = refusal(needs - 1).unwrap_or_else(|| panic!("{name} does not refuse"));
        assert_eq!((refused.code, refused.status()), (code, 422), "{name}: {refused}");
        assert!(refused.detail.contains("at offset") && refused.detail.contains("at most"), "{name}: {refused}");
        let at_it = refusal(needs);
        assert!(at_it.as_ref().is_none_or(|refused| refused.code != code), "{name} refuses what it allows: {at_it:?}");
    }
}

/// A loop, so that each local may be another after each `if`: the compiler keeps a value for each pair.
fn slow(ifs: u32, locals: u32) -> Vec<u8> {
    let ifs: String =
        (0..ifs).map(|at| format!("(if (local.get 0) (then (local.set {} (i32.const 1))))", at % locals)).collect();
    let locals = format!("(local {})", "i32 ".repeat(locals as usize));
    component(&guest("", "", &format!("(func {locals} (loop {ifs} (br_if 0 (local.get 1))))")))
}

#[test]
fn a_compiler_is_stopped_by_its_clocks() {
    let slow = slow(64_000, 4_000);
    let lenient = Limits {
        function_locals_times_blocks: u64::MAX,
        function_body_bytes: u32::MAX,
        compile_memory_bytes: 6 << 30,
        ..small()
    };
    for (limits, words) in [
        (Limits { compile_cpu_s: 1, ..lenient.clone() }, "more than 1 s of CPU time"),
        (Limits { compile_wall_s: 1, ..lenient }, "longer than 1 s"),
    ] {
        let began = std::time::Instant::now();
        let refused = Node::new(limits).accept(slow.clone()).map(|described| described.digest).unwrap_err();
        assert_eq!((refused.code, refused.status()), ("compile-limit", 422), "{refused}");
        assert!(refused.detail.contains(words), "{refused}");
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
    }
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
    let bomb = slow(32_000, 4_000);
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
