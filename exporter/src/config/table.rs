//! The settings: every flag but those of one run. The command line defines them, and from
//! it come their variables, the keys of the file and their documentation.

use std::any::TypeId;
use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, CommandFactory};

use crate::args::Args;

/// A setting.
#[derive(Debug, Clone)]
pub struct Known {
    /// What the parser calls it.
    pub id: String,
    /// The flag without its dashes, and the key of the file.
    pub name: String,
    /// The environment variable.
    pub variable: String,
    /// What stands for a value in the help.
    pub value_name: String,
    /// What it is.
    pub help: String,
    /// What a value is.
    pub form: Form,
    /// Whether it can be given more than once.
    pub is_list: bool,
    /// What it is where nothing says so; none where it is then absent.
    pub defaults: Vec<String>,
}

/// What a value is, in a file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A string.
    Text,
    /// A whole number.
    Whole,
    /// A number.
    Fraction,
    /// True or false.
    Truth,
}

/// Flags of one run. Where the file is can stand in the environment, and not in itself.
const OF_ONE_RUN: [&str; 6] =
    ["check-config", "config.file", "help", "print-config", "self-check", "version"];

/// Settings that change at run time when the file is read anew.
const AT_RUN_TIME: [&str; 12] = [
    "endpoint",
    "endpoint.pods",
    "interval",
    "log.level",
    "max-series",
    "probe.budget",
    "probe.min-age",
    "process-groups",
    "walk.budget",
    "walk.cap",
    "walk.max-hold",
    "walk.min-bytes",
];

/// How the name of each variable begins.
pub const PREFIX: &str = "MEMGAP_";

/// How like a name has to be to what was written, to be suggested. 1 is the same.
const LIKE: f64 = 0.8;

/// Every setting, in the order of the command line.
pub fn all() -> Vec<Known> {
    let mut command = Args::command();
    command.build();
    command.get_arguments().filter_map(Known::of).collect()
}

/// The variable of a flag.
pub fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.replace(['.', '-'], "_").to_ascii_uppercase())
}

/// Of some names the one that is most like what was written, if one is.
pub fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |name: &&str| strsim::jaro_winkler(written, name);
    let nearest = names.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&nearest) >= LIKE).then_some(nearest)
}

impl Known {
    fn of(arg: &Arg) -> Option<Self> {
        let name =
            arg.get_long().filter(|name| !OF_ONE_RUN.contains(name) && !arg.is_hide_set())?;
        let help = arg.get_long_help().or_else(|| arg.get_help());
        let value_name = arg.get_value_names().and_then(|names| names.first());
        let defaults = arg.get_default_values().iter();
        Some(Self {
            id: arg.get_id().to_string(),
            name: name.to_owned(),
            variable: variable(name),
            value_name: value_name.map(ToString::to_string).unwrap_or_default(),
            help: help.map(ToString::to_string).unwrap_or_default(),
            form: Form::of(arg),
            is_list: matches!(arg.get_action(), ArgAction::Append),
            defaults: defaults.map(|value| value.to_string_lossy().into_owned()).collect(),
        })
    }

    /// Whether it changes at run time when the file is read anew.
    pub fn changes_at_run_time(&self) -> bool {
        AT_RUN_TIME.contains(&self.name.as_str())
    }

    /// The argument that gives it a value.
    pub fn argument(&self, value: &OsStr) -> OsString {
        let mut argument = OsString::from(format!("--{}=", self.name));
        argument.push(value);
        argument
    }

    /// What is wrong with a value, by the same rules as on the command line.
    pub fn check(&self, value: &OsStr) -> Result<(), String> {
        if value.as_encoded_bytes().contains(&0) {
            return Err("it holds a NUL".to_owned());
        }
        let command = Args::command().no_binary_name(true);
        let checked = command.try_get_matches_from([self.argument(value)]);
        checked.map(|_| ()).map_err(|error| why(&error))
    }
}

impl Form {
    fn of(arg: &Arg) -> Self {
        let parsed = arg.get_value_parser().type_id();
        if parsed == TypeId::of::<bool>() {
            Self::Truth
        } else if parsed == TypeId::of::<f64>() {
            Self::Fraction
        } else if parsed == TypeId::of::<u32>() || parsed == TypeId::of::<u64>() {
            Self::Whole
        } else {
            Self::Text
        }
    }
}

/// An error of the parser's without what names the flag.
fn why(error: &clap::Error) -> String {
    match (error.kind(), error.get(ContextKind::ValidValue)) {
        (ErrorKind::InvalidValue, Some(ContextValue::Strings(valid))) if !valid.is_empty() => {
            format!("it must be one of {}", valid.join(", "))
        }
        (ErrorKind::InvalidValue, _) => "it has no value".to_owned(),
        _ => {
            std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_flag_is_a_setting_with_a_name_and_a_variable_of_its_own() {
        let known = all();
        let mut command = Args::command();
        command.build();
        let flags = command.get_arguments().filter(|arg| !arg.is_hide_set());
        let flags: BTreeSet<_> = flags.filter_map(Arg::get_long).collect();
        let settings = known.iter().map(|known| known.name.as_str());
        assert_eq!(settings.chain(OF_ONE_RUN).collect::<BTreeSet<_>>(), flags);
        let variables: BTreeSet<_> = known.iter().map(|known| known.variable.as_str()).collect();
        assert_eq!(variables.len(), known.len());
        for Known { name, variable, help, value_name, .. } in &known {
            let is_plain = |c: char| c.is_ascii_uppercase() || c == '_';
            assert!(variable.chars().all(is_plain), "{name}: {variable}");
            assert!(!help.is_empty() && !value_name.is_empty(), "{name}");
        }
        // What a file turns on a flag can turn off: --process-pids shows how.
        let is_switch = |arg: &&Arg| matches!(arg.get_action(), ArgAction::SetTrue);
        let mut switches = command.get_arguments().filter(is_switch).filter_map(Arg::get_long);
        assert!(switches.all(|name| OF_ONE_RUN.contains(&name)), "no =false for one of them");
    }

    #[test]
    fn what_changes_at_run_time_is_a_setting() {
        let known = all();
        assert_eq!(known.iter().filter(|k| k.changes_at_run_time()).count(), AT_RUN_TIME.len());
    }

    #[test]
    fn values_are_held_to_the_rules_of_the_command_line() {
        let known = all();
        let check = |name: &str, value: &str| {
            let known = known.iter().find(|known| known.name == name).expect("a setting");
            known.check(OsStr::new(value))
        };
        for known in &known {
            for value in &known.defaults {
                assert_eq!(known.check(OsStr::new(value)), Ok(()), "{}", known.name);
            }
        }
        for (name, value, why) in [
            ("walk.cap", "20", "give a number and a unit"),
            ("max-series", "1", "1 is not in 1000.."),
            ("max-series", "many", "invalid digit"),
            ("log.format", "xml", "it must be one of text, json"),
            ("process-pids", "perhaps", "it must be one of true, false"),
            ("path.procfs", "", "it has no value"),
            ("path.procfs", "a\0b", "it holds a NUL"),
            ("endpoint", "api", "give TARGET=URL"),
        ] {
            let found = check(name, value).expect_err(name);
            assert!(found.contains(why) && !found.contains('\n'), "{name}: {found}");
        }
    }

    #[test]
    fn what_is_like_a_name_is_told_and_nothing_else() {
        let known = all();
        let of = |written: &str| nearest(written, known.iter().map(|k| k.name.as_str()));
        assert_eq!(of("walk.capp"), Some("walk.cap"));
        assert_eq!(of("walk_cap"), Some("walk.cap"));
        assert_eq!(of("intervall"), Some("interval"));
        assert_eq!(of("colour"), None);
    }
}
