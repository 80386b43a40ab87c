//! What commands show: tables, timelines, signs of life.

use std::time::Duration;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

/// For what takes longer than a second. Without a terminal it says nothing.
pub fn busy(what: String) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Rows of usage, or Runs of a call.
pub fn ledger(rows: &Value) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "module",
        "version",
        "runs",
        "faults",
        "holding",
        "connected",
        "parked",
        "CPU",
        "peak memory",
        "host calls",
        "frames out/in",
        "end",
    ]);
    for row in rows["items"].as_array().into_iter().flatten() {
        let usage = &row["usage"];
        let number = |name: &str| usage[name].as_u64().unwrap_or_default();
        let calls: u64 = usage["host_calls"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
        table.add_row([
            row["module_name"].as_str().unwrap_or("").to_owned(),
            row["module_version"].as_u64().filter(|version| *version > 0).map_or_else(String::new, |v| v.to_string()),
            row["runs"].as_u64().unwrap_or(1).to_string(),
            row["faults"].as_u64().unwrap_or_else(|| u64::from(!row["end"]["fault"].is_null())).to_string(),
            seconds(number("holding_us")),
            seconds(number("connected_us")),
            seconds(number("parked_us")),
            format!("{:.2} ms", number("cpu_ns") as f64 / 1e6),
            format!("{} KiB", number("peak_memory_bytes") >> 10),
            calls.to_string(),
            format!("{}/{}", number("frames_sent"), number("frames_received")),
            end(row),
        ]);
    }
    for column in 1..=10 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn end(row: &Value) -> String {
    match row["end"]["fault"]["code"].as_str() {
        Some(code) => code.to_owned(),
        None => row["end"]["reason"].as_str().unwrap_or_default().to_owned(),
    }
}

fn seconds(micros: u64) -> String {
    format!("{:.2} s", micros as f64 / 1e6)
}

/// One event of a call, in a line. None for what is of no interest to somebody who looks on.
pub fn event(event: &Value) -> Option<String> {
    let data = &event["data"];
    let text = |name: &str| match &data[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let cause = || {
        let who = if data["cause"]["remote"].as_bool() == Some(true) { "by the far end" } else { "by us" };
        match data["cause"]["status"].as_u64() {
            Some(0) | None => who.to_owned(),
            Some(status) => format!("{who}, {status} {}", data["cause"]["reason"].as_str().unwrap_or_default()),
        }
    };
    Some(match event["type"].as_str()? {
        "call.started" => format!("INVITE    {} calls {}", text("caller"), text("called")),
        "call.ringing" => format!("{}       ringing", text("status")),
        "call.answered" => "200       answered".to_owned(),
        "call.ended" => format!("over      {}", cause()),
        "leg.media" => format!("sound     {}", text("codec")),
        "leg.ended" => format!("BYE       leg {} ended {}", text("leg"), cause()),
        "control.started" => match text("version").as_str() {
            "0" => format!("control   {} takes the call", text("module_name")),
            version => format!("control   {} version {version} takes the call", text("module_name")),
        },
        "control.ended" => format!("control   given back: {}", text("reason")),
        "control.fault" => format!(
            "FAULT     {}: {}",
            data["fault"]["code"].as_str().unwrap_or_default(),
            data["fault"]["message"].as_str().unwrap_or_default().lines().next().unwrap_or_default()
        ),
        "step.started" => format!("step {:<4} {} {}", text("step"), text("kind"), text("detail")),
        "step.ended" => format!("step {:<4} {} ended: {}", text("step"), text("kind"), text("outcome")),
        "call.gathered" => format!("digits    {:?} ({})", text("digits"), text("by")),
        "call.digit" => format!("digit     {}", text("digit")),
        "recording.started" | "recording.ended" => format!("record    {}", text("recording")),
        "module.log" => format!("log       {}: {}", text("level"), text("message")),
        _ => return None,
    })
}
