//! One finding of the doctor, and how all of them are shown.

use serde_json::{Map, Value, json};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Ok,
    /// A run works, but not as well as it could.
    Warn,
    /// No run will work, or not with what it promises.
    Fail,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "FAIL",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Check {
    what: &'static str,
    pub(super) state: State,
    value: String,
    tip: Option<String>,
    /// The same for programs.
    facts: Map<String, Value>,
}

impl Check {
    /// All is well. The value is for a terminal: foreign bytes in it are escaped.
    pub(super) fn new(what: &'static str, value: impl Into<String>) -> Check {
        Check {
            what,
            state: State::Ok,
            value: value.into(),
            tip: None,
            facts: Map::new(),
        }
    }

    /// More of the value.
    pub(super) fn also(mut self, more: &str) -> Check {
        self.value += ", ";
        self.value += more;
        self
    }

    /// It is not quite well, and this can be done.
    pub(super) fn warn(self, tip: impl Into<String>) -> Check {
        self.bad(State::Warn, tip.into())
    }

    /// It will not do, and this can be done.
    pub(super) fn fail(self, tip: impl Into<String>) -> Check {
        self.bad(State::Fail, tip.into())
    }

    /// Of several things that are wrong the worst is told, and of those the first.
    fn bad(mut self, state: State, tip: String) -> Check {
        if state > self.state {
            self.state = state;
            self.tip = Some(tip);
        }
        self
    }

    pub(super) fn fact(mut self, name: &str, value: impl Into<Value>) -> Check {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    fn json(&self) -> Value {
        json!({
            "check": self.what,
            "state": self.state.word(),
            "value": self.value,
            "tip": self.tip,
            "facts": self.facts,
        })
    }
}

/// A line for each: state, what, value, and the tip below where there is one.
pub(super) fn lines(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.what.len()).max();
    let width = width.unwrap_or_default();
    let mut all = String::new();
    for check in checks {
        let (state, what) = (check.state.word(), check.what);
        all += &format!("{state:<4}  {what:<width$}  {}\n", check.value);
        if let Some(tip) = &check.tip {
            all += &format!("{:<4}  {:<width$}  tip: {tip}\n", "", "");
        }
    }
    all
}

/// All of them as one object.
pub(super) fn object(checks: &[Check]) -> String {
    let worst = checks.iter().map(|check| check.state).max();
    let object = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "state": worst.unwrap_or(State::Ok).word(),
        "checks": checks.iter().map(Check::json).collect::<Vec<_>>(),
    });
    format!("{object:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_a_line_and_the_worst_counts() {
        let checks = [
            Check::new("kernel", "6.1").fact("release", "6.1"),
            Check::new("temp", "/tmp")
                .warn("small")
                .fail("full")
                .warn("odd"),
        ];
        assert_eq!(
            lines(&checks),
            "ok    kernel  6.1\nFAIL  temp    /tmp\n              tip: full\n"
        );
        let object: Value = serde_json::from_str(&object(&checks)).unwrap();
        assert_eq!(object["state"], "FAIL");
        assert_eq!(object["checks"][0]["facts"]["release"], "6.1");
        assert_eq!(object["checks"][1]["tip"], "full");
    }
}
