//! What the exporter is told: by its flags, else by the environment, else by a file.
//!
//! All three say the same settings by the same rules, those of the command line
//! ([`table`]). What is effective is told to the exporter's children as flags, so that a
//! file that changed meanwhile changes nothing by itself.

pub mod file;
mod print;
pub mod table;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, Parser};

use crate::args::Args;
use crate::orders;
use file::Entry;
use table::{Known, PREFIX};

/// Where settings come from.
pub struct Sources {
    flags: ArgMatches,
    environment: BTreeMap<String, OsString>,
    check: Check,
}

/// What is wrong with a value of a setting, beyond what the command line knows of it.
pub type Check = fn(name: &str, value: &str) -> Result<(), String>;

/// Every setting, with who said so.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The same as the command line would say it.
    pub args: Args,
    settings: Vec<Setting>,
    /// What is not wrong, but was hardly meant.
    pub doubts: Vec<String>,
}

/// What is wrong: a line for each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults(Vec<String>);

/// What came of a configuration that is to replace another one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Settings that are others now.
    pub made: Vec<String>,
    /// Settings that will be others when the exporter is started again.
    pub left: Vec<String>,
}

#[derive(Debug, Clone)]
struct Setting {
    known: Known,
    values: Vec<OsString>,
    origin: Origin,
}

#[derive(Debug, Clone)]
enum Origin {
    Flag,
    Variable,
    File(PathBuf, usize),
    Default,
}

/// Values of one setting, each with the place where it stands.
type Said = Vec<(OsString, String)>;

/// The most values of a list.
const MAX_VALUES: usize = 64;

/// The most faults that are told.
const MAX_FAULTS: usize = 50;

/// The most of a value that is told.
const MAX_TOLD: usize = 60;

/// Room for what the exporter tells its children besides the settings.
const RESERVED: usize = 1 << 10;

const FILE: &str = "config.file";

const NO_SETTING: &str = "no setting is called so";

impl Sources {
    /// The sources of a command line and an environment.
    pub fn new(
        arguments: &[OsString],
        environment: impl Iterator<Item = (OsString, OsString)>,
        check: Check,
    ) -> Result<Self, clap::Error> {
        let flags = Args::command().try_get_matches_from(arguments)?;
        // An empty variable is what scripts make of one that is not set.
        let environment = environment.filter(|(_, value)| !value.is_empty());
        let environment =
            environment.filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Ok(Self { flags, environment: environment.collect(), check })
    }

    /// The file, where one is named.
    pub fn file(&self) -> Option<PathBuf> {
        let flag = self.flags.get_one::<PathBuf>("config_file").cloned();
        flag.or_else(|| self.environment.get(&table::variable(FILE)).map(PathBuf::from))
    }

    /// Reads the file and puts together what is effective.
    pub fn load(&self) -> Result<Configuration, Faults> {
        let known = table::all();
        let mut faults = Faults::default();
        let path = self.file();
        let mut entries = BTreeMap::new();
        if let Some(path) = &path {
            entries = self.entries(path, &known, &mut faults);
        }
        let doubts = self.doubts(&known);
        let mut settings = Vec::new();
        for known in known {
            let flag = self.flag(&known, &mut faults);
            let variable = self.variable(&known, &mut faults);
            let entry = entries.remove(&known.name).zip(path.as_ref());
            let file = || {
                let (Entry { line, values, .. }, path) = entry?;
                let values = values.into_iter().map(|(value, _)| value.into()).collect();
                Some((values, Origin::File(path.clone(), line)))
            };
            let (values, origin) = flag
                .map(|values| (values, Origin::Flag))
                .or_else(|| variable.map(|values| (values, Origin::Variable)))
                .or_else(file)
                .unwrap_or_else(|| {
                    (known.defaults.iter().map(OsString::from).collect(), Origin::Default)
                });
            settings.push(Setting { known, values, origin });
        }
        if faults.0.is_empty() { Configuration::of(settings, doubts) } else { Err(faults) }
    }

    /// What the file says that is right, by name.
    fn entries(
        &self,
        path: &Path,
        known: &[Known],
        faults: &mut Faults,
    ) -> BTreeMap<String, Entry> {
        let mut entries = BTreeMap::<String, Entry>::new();
        let found = file::read(path).unwrap_or_else(|wrong| {
            for (line, why) in wrong {
                let line = line.map_or_else(String::new, |line| format!(":{line}"));
                faults.add(&format!("{}{line}", path.display()), &why);
            }
            Vec::new()
        });
        for entry in found {
            let place = |line: usize| format!("{}:{line}: {}", path.display(), entry.name);
            if faults.is_full() {
                break;
            }
            let Some(known) = known.iter().find(|known| known.name == entry.name) else {
                let names = known.iter().map(|known| known.name.as_str());
                faults.add(&place(entry.line), &unknown(&entry.name, names));
                continue;
            };
            if let Some(first) = entries.get(&entry.name) {
                faults.add(&place(entry.line), &format!("it is set in line {} too", first.line));
                continue;
            }
            if entry.is_list && !known.is_list {
                faults.add(&place(entry.line), "it takes one value, no list");
            }
            if entry.values.is_empty() && !known.defaults.is_empty() {
                faults.add(&place(entry.line), "the list is empty: leave it out for the default");
            }
            let said = entry.values.iter().map(|(value, line)| (value.into(), place(*line)));
            self.check(known, &said.collect(), faults);
            entries.insert(entry.name.clone(), entry);
        }
        entries
    }

    fn variable(&self, known: &Known, faults: &mut Faults) -> Option<Vec<OsString>> {
        let value = self.environment.get(&known.variable)?;
        let values = match value.to_str() {
            Some(list) if known.is_list => list.split_whitespace().map(OsString::from).collect(),
            _ => vec![value.clone()],
        };
        let said = values.iter().map(|value| (value.clone(), known.variable.clone())).collect();
        self.check(known, &said, faults);
        Some(values)
    }

    fn flag(&self, known: &Known, faults: &mut Faults) -> Option<Vec<OsString>> {
        let id = known.id.as_str();
        if self.flags.value_source(id) != Some(ValueSource::CommandLine) {
            return None;
        }
        let values: Vec<_> = self.flags.get_raw(id)?.map(OsStr::to_owned).collect();
        let flag = || format!("--{}", known.name);
        let said = values.iter().map(|value| (value.clone(), flag())).collect();
        self.check(known, &said, faults);
        Some(values)
    }

    fn check(&self, known: &Known, said: &Said, faults: &mut Faults) {
        if let Some((_, place)) = said.get(MAX_VALUES) {
            faults.add(place, &format!("it has {} values: {MAX_VALUES} are the most", said.len()));
        }
        for (value, place) in said.iter().take(MAX_VALUES) {
            let checked = known.check(value).and_then(|()| {
                value.to_str().map_or(Ok(()), |value| (self.check)(&known.name, value))
            });
            if let Err(why) = checked {
                let told: String = value.to_string_lossy().chars().take(MAX_TOLD).collect();
                faults.add(place, &format!("{told:?}: {why}"));
            }
        }
    }

    /// Variables that are no setting's and are called nearly like one. Others may be
    /// anybody's: Kubernetes makes some of the names of services.
    fn doubts(&self, known: &[Known]) -> Vec<String> {
        let file = table::variable(FILE);
        let own = known.iter().map(|known| known.variable.as_str()).chain([file.as_str()]);
        let own: Vec<_> = own.filter_map(|name| name.strip_prefix(PREFIX)).collect();
        let found = self.environment.keys().filter_map(|name| name.strip_prefix(PREFIX));
        let others = found.filter(|name| !own.contains(name));
        let doubt = |name| {
            let nearest = table::nearest(name, own.iter().copied())?;
            let said = format!("{PREFIX}{name}: {NO_SETTING}: did you mean {PREFIX}{nearest}?");
            Some(one_line(&said))
        };
        others.filter_map(doubt).collect()
    }
}

fn unknown<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> String {
    let nearest = table::nearest(written, names);
    let hint = nearest.map_or_else(String::new, |name| format!(": did you mean {name}?"));
    format!("{NO_SETTING}{hint}")
}

impl Configuration {
    fn of(settings: Vec<Setting>, doubts: Vec<String>) -> Result<Self, Faults> {
        let arguments = arguments(&settings);
        let length: usize = arguments.iter().map(|argument| argument.len() + 1).sum();
        if length > orders::MAX_BYTES - RESERVED {
            return Err(Faults(vec!["all settings together are longer than 63 KiB".to_owned()]));
        }
        let args = Args::try_parse_from(arguments).map_err(|error| Faults(vec![usage(&error)]))?;
        Ok(Self { args, settings, doubts })
    }

    /// What says the same on the command line: all that is not as by default.
    pub fn arguments(&self) -> Vec<OsString> {
        arguments(&self.settings)
    }

    /// A file that says the same, with a comment on where each setting comes from.
    pub fn print(&self) -> String {
        print::toml(&self.settings)
    }

    /// This one with what of `new` can change at run time.
    pub fn changed(&self, new: Self) -> Result<(Self, Changes), Faults> {
        let mut changes = Changes::default();
        let mut settings = self.settings.clone();
        for (setting, new) in settings.iter_mut().zip(new.settings) {
            let is_same = setting.values == new.values;
            if is_same || new.known.changes_at_run_time() {
                changes.made.extend((!is_same).then(|| new.known.name.clone()));
                *setting = new;
            } else {
                changes.left.push(new.known.name);
            }
        }
        Ok((Self::of(settings, new.doubts)?, changes))
    }
}

fn arguments(settings: &[Setting]) -> Vec<OsString> {
    let program = OsString::from("memgap-exporter");
    let said = settings.iter().filter(|setting| !matches!(setting.origin, Origin::Default));
    let flags = said.flat_map(|s| s.values.iter().map(|value| s.known.argument(value)));
    std::iter::once(program).chain(flags).collect()
}

impl Faults {
    fn is_full(&self) -> bool {
        self.0.len() >= MAX_FAULTS
    }

    fn add(&mut self, place: &str, why: &str) {
        if !self.is_full() {
            self.0.push(one_line(&format!("{place}: {why}")));
        }
    }

    /// The lines.
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// An error of the command line in one line.
pub fn usage(error: &clap::Error) -> String {
    let text = error.to_string();
    let is_general = |part: &&str| part.starts_with("Usage:") || part.starts_with("For more");
    let parts = text.split("\n\n").take_while(|part| !is_general(part));
    let words: Vec<_> = parts.flat_map(str::split_whitespace).collect();
    let line = words.join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

fn one_line(text: &str) -> String {
    let plain =
        |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests;
