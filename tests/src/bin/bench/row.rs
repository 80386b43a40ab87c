//! One figure, one line of JSON.

use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub struct Row {
    bench: &'static str,
    name: String,
    value: f64,
    unit: &'static str,
    /// The same, measured of somebody else in the same minute.
    yardstick: Option<f64>,
    /// Value by yardstick: below 1 is better than the yardstick.
    ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
}

impl Row {
    pub fn new(bench: &'static str, name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            bench,
            name: name.into(),
            value: round(value),
            unit,
            yardstick: None,
            ratio: None,
            limit: None,
            met: None,
        }
    }

    pub fn beside(self, yardstick: f64) -> Self {
        let ratio = (yardstick > 0.0).then(|| round(self.value / yardstick));
        Self { yardstick: Some(round(yardstick)), ratio, ..self }
    }

    /// At most.
    pub fn limit(self, limit: f64) -> Self {
        Self { limit: Some(round(limit)), met: Some(self.value <= limit), ..self }
    }

    /// At least.
    pub fn at_least(self, limit: f64) -> Self {
        Self { limit: Some(round(limit)), met: Some(self.value >= limit), ..self }
    }

    pub fn is_missed(&self) -> bool {
        self.met == Some(false)
    }

    pub fn print(&self) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }
}

fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
