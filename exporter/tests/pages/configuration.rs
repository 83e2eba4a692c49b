//! `docs/configuration.md` lists every setting.

use clap::CommandFactory;
use memgap_exporter::args::Args;
use memgap_exporter::config::table::{self, Form, Known};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");

const HEAD: &str = "\
# Configuration

`memgap-exporter` takes flags, environment variables, and one file in TOML that `--config.file` (or `MEMGAP_CONFIG_FILE`) names. All
three have the same settings. A flag goes before a variable, a variable before the file, the file before the default; a list is
replaced, not added to. The table at the end is generated from the flags: run the tests of the exporter with `UPDATE_DOCS=1`.

```toml
interval = \"15s\"

[web]
listen-address = [\":9877\"]

[walk]
budget = 0.01

# `endpoint` is a list: what begins with its name stands in quotes.
\"endpoint.pods\" = \"http://127.0.0.1:8001/api/v1/pods\"
```

- **Names.** A key is the name of a flag without its dashes: `walk.cap`, `cap` below `[walk]` and `\"walk.cap\"` are one key. A variable
  is `MEMGAP_` and the name in capitals, with `_` for `.` and `-`. In a variable the values of a list are separated by blanks; a value
  with a blank in it needs the file. An empty variable is one that is not set.
- **Check it.** `--check-config` ends with 0, or with 1 and a line for each fault, at most 50: the file, the line and the key, the variable
  or the flag, and what is like it that was perhaps meant. Faults of the form (what is no TOML) are told first, alone.
  What is checked is what can be told without the machine: whether an address is free or a directory is there shows at the start.
- **See it.** `--print-config` prints what is in effect, with who said so. What it prints is a file that `--config.file` takes.
- **Change it.** On SIGHUP (`systemctl reload memgap-exporter`) the file is read again. What can change at run time changes with
  the next collection, and nothing that was counted or read is lost; endpoints are asked anew, and budgets begin to save anew. What can
  not is named in the log, and takes a restart. A file that is wrong changes nothing: one line of the log says so, and
  `memgap_exporter_config_last_reload_successful` is 0; `memgap_exporter_config_last_reload_success_timestamp_seconds` is when a right one was
  read last. Flags and variables are those of the start, and still go before the file.
- **Variables of others.** Kubernetes makes variables of the names of services. One that begins with `MEMGAP_` and is no setting is passed
  over; if it is called nearly like one, the log says so.
- **Bounds.** The file has 1 MiB at most, a list 64 values, all settings together 63 KiB.

`--log.format=json` writes the log as one object a line, with `timestamp`, `level`, `message`, `target` and what else is told.

## Settings

| flag and key | variable | value | default | on SIGHUP | what it is |
| --- | --- | --- | --- | --- | --- |
";

const OF_ONE_RUN: &str = "
`--config.file`, `--check-config`, `--print-config` and `--self-check` are about one run and stand in no file.
";

#[test]
fn the_configuration_page_has_every_setting() {
    let lines = table::all().iter().map(line).collect::<String>();
    let page = format!("{HEAD}{lines}{OF_ONE_RUN}");
    for arg in Args::command().get_arguments().filter(|arg| !arg.is_hide_set()) {
        let name = arg.get_long().expect("every flag has a long name");
        assert!(page.contains(&format!("`--{name}`")), "--{name} is not on the page");
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &page).expect("docs/ is writable");
    }
    let found = std::fs::read_to_string(PAGE).expect("docs/configuration.md is readable");
    assert_eq!(found, page, "run with UPDATE_DOCS=1");
}

fn line(known: &Known) -> String {
    let Known { name, variable, value_name, help, form, is_list, defaults, .. } = known;
    let kind = match form {
        Form::Text => "",
        Form::Whole | Form::Fraction => ", a number",
        Form::Truth => ", true or false",
    };
    let list = if *is_list { ", a list" } else { "" };
    let defaults: Vec<String> = defaults.iter().map(|value| format!("`{value}`")).collect();
    let change = if known.changes_at_run_time() { "changes" } else { "takes a restart" };
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    let help = format!("{}.", help.trim_end_matches('.'));
    format!(
        "| `--{name}` | `{variable}` | {value_name}{kind}{list} | {} | {change} | {help} |\n",
        defaults.join(" ")
    )
}
