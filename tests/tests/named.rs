//! What is listed in code, and has to be met by somebody: every fault has a guest that causes it,
//! every limit refuses. Both lists are walked here, and each entry names its test; a test that is no
//! longer there, or does not speak of it any more, is told.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use callbox_model::{FaultCode, Limits};

const SANDBOX: &str = "runtime/sandbox/tests/faults.rs";
const UPLOADS: &str = "runtime/sandbox/tests/uploads.rs";
const CALL: &str = "runtime/call/src/tests/limits.rs";
const SHARES: &str = "runtime/usage/tests/shares.rs";
const KV: &str = "runtime/store/tests/suite/kv.rs";
const E2E: &str = "tests/tests/faults.rs";
const FRAUD: &str = "tests/tests/fraud.rs";

/// Code, file, test.
const FAULTS: &[(&str, &str, &str)] = &[
    ("trap-unreachable", SANDBOX, "every_class_of_fault_is_told_by_its_code"),
    ("trap-out-of-bounds", SANDBOX, "every_class_of_fault_is_told_by_its_code"),
    ("trap-indirect-call", SANDBOX, "every_class_of_fault_is_told_by_its_code"),
    ("trap-arithmetic", SANDBOX, "every_class_of_fault_is_told_by_its_code"),
    ("stack-overflow", SANDBOX, "every_class_of_fault_is_told_by_its_code"),
    ("out-of-cpu", SANDBOX, "every_class_of_fault_is_told_by_its_code"),
    ("too-slow", SANDBOX, "a_guest_that_sleeps_through_its_time_between_two_steps_is_too_slow"),
    ("out-of-memory", SANDBOX, "every_class_of_fault_is_told_by_its_code"),
    ("out-of-table", SANDBOX, "every_class_of_fault_is_told_by_its_code"),
    ("too-many-host-calls", SANDBOX, "every_class_of_fault_is_told_by_its_code"),
    ("too-many-handles", SANDBOX, "a_leak_of_handles_ends_at_its_limit"),
    ("value-too-large", SANDBOX, "every_class_of_fault_is_told_by_its_code"),
    ("bad-value", SANDBOX, "every_class_of_fault_is_told_by_its_code"),
    ("returned-error", E2E, "the_last_resort_apologises_to_a_caller_who_is"),
    ("start-failed", SANDBOX, "a_module_that_started_at_its_upload_may_not_start_in_a_call"),
    ("no-instance-free", SANDBOX, "a_full_pool_and_a_full_share_are_told_apart_from_the_guest"),
    ("module-missing", E2E, "modules_that_may_not_run_are_passed_over_and_each_says_why"),
    ("module-disabled", E2E, "modules_that_may_not_run_are_passed_over_and_each_says_why"),
    ("module-quarantined", E2E, "modules_that_may_not_run_are_passed_over_and_each_says_why"),
    ("host-dependency", SANDBOX, "every_class_of_fault_is_told_by_its_code"),
    ("too-many-switches", E2E, "a_call_that_has_had_its_faults_is_given_to_nobody_else"),
    ("handler-time", E2E, "handlers_that_hold_a_call_for_too_long_lose_it"),
];

/// Those that no module of today can cause, and why. Each leaves this list with what brings it.
const LATER: &[(&str, &str)] = &[
    (
        "trap-other",
        "every trap of an engine without threads, garbage collection, exceptions and async has a code of its own; \
         uploads that use those are refused (feature-off)",
    ),
    ("out-of-fuel", "fuel is for workflows and filters: a call handler is measured in CPU time"),
    ("breaker-open", "the circuit breaker comes with the platform"),
];

/// Limit, file, test.
const LIMITS: &[(&str, &str, &str)] = &[
    ("module_bytes", "tests/tests/uploads.rs", "what_is_no_handler_is_refused_by_name"),
    ("compile_cpu_s", UPLOADS, "a_compiler_is_stopped_by_its_clocks"),
    ("compile_memory_bytes", UPLOADS, "a_bomb_for_the_compiler_is_seen_and_if_not_the_compiler_dies_alone"),
    ("compile_wall_s", UPLOADS, "a_compiler_is_stopped_by_its_clocks"),
    ("functions", UPLOADS, "an_upload_is_refused_by_a_code_that_says_why"),
    ("function_body_bytes", UPLOADS, "an_upload_over_one_limit_alone_is_refused"),
    ("function_locals_times_blocks", UPLOADS, "a_bomb_for_the_compiler_is_seen_and_if_not_the_compiler_dies_alone"),
    ("memories", UPLOADS, "an_upload_over_one_limit_alone_is_refused"),
    ("tables", UPLOADS, "an_upload_over_one_limit_alone_is_refused"),
    ("core_instances", UPLOADS, "an_upload_over_one_limit_alone_is_refused"),
    ("memory_bytes", SANDBOX, "a_limit_that_is_raised_lets_the_same_guest_go_on"),
    ("table_elements", SANDBOX, "a_limit_that_is_raised_lets_the_same_guest_go_on"),
    ("stack_bytes", SANDBOX, "a_limit_that_is_raised_lets_the_same_guest_go_on"),
    ("step_cpu_ms", SANDBOX, "a_limit_that_is_raised_lets_the_same_guest_go_on"),
    ("step_wall_ms", SANDBOX, "a_guest_that_sleeps_through_its_time_between_two_steps_is_too_slow"),
    ("tenant_cpu_millicores", SHARES, "a_tenant_waits_when_its_modules_have_used_its_millicores"),
    ("module_cpu_millicores", SHARES, "a_module_waits_when_it_has_used_its_millicores"),
    ("host_calls_per_s", E2E, "a_storm_of_host_calls_is_slowed_and_then_stopped"),
    ("host_calls_burst", E2E, "a_storm_of_host_calls_is_slowed_and_then_stopped"),
    ("host_calls_throttled_s", E2E, "a_storm_of_host_calls_is_slowed_and_then_stopped"),
    ("host_call_bytes", SANDBOX, "a_limit_that_is_raised_lets_the_same_guest_go_on"),
    ("handles", SANDBOX, "a_leak_of_handles_ends_at_its_limit"),
    ("log_line_bytes", SANDBOX, "a_log_over_its_limits_is_cut_and_counted"),
    ("log_lines_per_s", SANDBOX, "a_log_over_its_limits_is_cut_and_counted"),
    ("checkpoint_bytes", CALL, "a_checkpoint_has_so_many_bytes_at_most"),
    ("kv_value_bytes", KV, "quotas"),
    ("kv_key_bytes", KV, "quotas"),
    ("kv_keys", KV, "quotas"),
    ("kv_tenant_bytes", KV, "quotas"),
    ("instances", SANDBOX, "a_full_pool_and_a_full_share_are_told_apart_from_the_guest"),
    ("tenant_instances_permille", SANDBOX, "a_full_pool_and_a_full_share_are_told_apart_from_the_guest"),
    ("uploads_per_hour", "tests/tests/uploads.rs", "uploads_of_an_hour_are_counted"),
    ("faults_per_call", E2E, "a_call_that_has_had_its_faults_is_given_to_nobody_else"),
    ("handler_time_s", E2E, "handlers_that_hold_a_call_for_too_long_lose_it"),
    ("event_digits", CALL, "digits_that_nobody_takes_are_bounded"),
    ("grace_ms", CALL, "a_module_has_its_grace_and_no_more"),
    ("speech_characters", CALL, "speech_has_so_many_characters_at_most"),
    ("sources", CALL, "a_play_and_a_prompt_have_so_many_sources_at_most"),
    ("recording_s", CALL, "a_recording_is_so_long_at_most_whoever_asks_for_more"),
    ("legs_per_call", CALL, "a_dial_has_so_many_targets_and_a_call_so_many_legs_at_most"),
    ("dial_targets", CALL, "a_dial_has_so_many_targets_and_a_call_so_many_legs_at_most"),
    ("contacts_per_user", "runtime/sip/src/registrar/tests.rs", "a_user_has_so_many_contacts_and_a_node_too"),
    ("outbound_legs", "runtime/usage/src/outbound.rs", "each_bound_refuses_by_its_name"),
    ("outbound_legs_per_minute", FRAUD, "so_many_legs_a_minute"),
    ("outbound_minutes_per_day", FRAUD, "so_many_minutes_and_so_much_money_a_day"),
    ("outbound_spend_micros_per_day", FRAUD, "so_many_minutes_and_so_much_money_a_day"),
    ("outbound_new_prefixes_per_day", FRAUD, "so_many_new_countries_a_day"),
    ("asset_bytes", "runtime/api/tests/rest/limits.rs", "an_asset_over_its_limit_is_refused_before_and_as_it_comes"),
    ("tenant_asset_bytes", "runtime/store/tests/suite/owned.rs", "assets"),
    ("tenant_calls", "tests/tests/sipp.rs", "a_tenant_has_so_many_calls_at_once"),
];

#[test]
fn every_fault_is_caused_by_a_test_or_says_why_it_cannot_be() {
    let mut found = Vec::new();
    for fault in FaultCode::ALL {
        let code = fault.code();
        let rows: Vec<_> = FAULTS.iter().filter(|(named, _, _)| *named == code).collect();
        let later = LATER.iter().find(|(named, _)| *named == code);
        match (&rows[..], later) {
            ([(_, file, test)], None) => {
                let variant = format!("FaultCode::{fault:?}");
                if let Err(why) = speaks_of(file, test, &[&variant, &format!("\"{code}\"")]) {
                    found.push(format!("{code}: {why}"));
                }
            }
            ([], Some((_, why))) if why.len() > 20 => {}
            _ => found.push(format!("{code} is to have one row in FAULTS, or one in LATER with its reason")),
        }
    }
    let known: BTreeSet<_> = FaultCode::ALL.iter().map(|fault| fault.code()).collect();
    let named = FAULTS.iter().map(|(code, _, _)| *code).chain(LATER.iter().map(|(code, _)| *code));
    found.extend(named.filter(|code| !known.contains(code)).map(|code| format!("there is no fault {code}")));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_limit_refuses_in_a_test() {
    let mut found = Vec::new();
    let known: BTreeSet<_> = Limits::manual().into_iter().map(|(name, _, _)| name).collect();
    for name in &known {
        match &LIMITS.iter().filter(|(named, _, _)| named == name).collect::<Vec<_>>()[..] {
            [(_, file, test)] => {
                if let Err(why) = speaks_of(file, test, &[name]) {
                    found.push(format!("{name}: {why}"));
                }
            }
            _ => found.push(format!("{name} is to have one row in LIMITS: a limit that refuses nothing is none")),
        }
    }
    found.extend(LIMITS.iter().filter(|row| !known.contains(row.0)).map(|row| format!("there is no limit {}", row.0)));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Whether the test is there, and has one of these words, by itself, in its body.
fn speaks_of(file: &str, test: &str, words: &[&str]) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root");
    let text = fs::read_to_string(root.join(file)).map_err(|error| format!("{file}: {error}"))?;
    // A line of TOML in a string begins with the word, behind the end of the last.
    let body = body_of(&text, test).ok_or_else(|| format!("{file} has no test `{test}`"))?.replace("\\n", " ");
    let is_there = |word: &&str| {
        body.match_indices(word).any(|(at, _)| {
            let is_letter = |letter: Option<char>| letter.is_some_and(|one| one.is_alphanumeric() || one == '_');
            !is_letter(body[..at].chars().next_back()) && !is_letter(body[at + word.len()..].chars().next())
        })
    };
    if words.iter().any(is_there) { Ok(()) } else { Err(format!("{file}: `{test}` says nothing of it")) }
}

/// From `fn NAME` to the brace that closes it, which stands where the line of `fn` begins.
fn body_of<'t>(text: &'t str, test: &str) -> Option<&'t str> {
    let begin = text.find(&format!("fn {test}(")).or_else(|| text.find(&format!("fn {test}<")))?;
    let indent = begin - text[..begin].rfind('\n').map_or(0, |at| at + 1);
    let indent: String = text[begin - indent..].chars().take_while(|letter| *letter == ' ').collect();
    let length = text[begin..].find(&format!("\n{indent}}}\n"))?;
    Some(&text[begin..begin + length])
}

#[test]
fn a_test_that_does_not_speak_of_it_is_told() {
    assert!(speaks_of(SANDBOX, "no_such_test", &["handles"]).is_err());
    assert!(speaks_of(SANDBOX, "a_leak_of_handles_ends_at_its_limit", &["memory_bytes"]).is_err());
    assert!(speaks_of(SANDBOX, "a_leak_of_handles_ends_at_its_limit", &["handl"]).is_err(), "half a word is none");
    assert!(speaks_of(SANDBOX, "a_leak_of_handles_ends_at_its_limit", &["handles"]).is_ok());
}
