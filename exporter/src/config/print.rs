//! A configuration as a file.

use toml::Value;

use super::table::{Form, Known};
use super::{Origin, Setting, one_line};

/// Every setting, with who said so.
pub(super) fn toml(settings: &[Setting]) -> String {
    let names: Vec<&str> = settings.iter().map(|setting| setting.known.name.as_str()).collect();
    settings.iter().map(|setting| line(setting, &names) + "\n").collect()
}

fn line(Setting { known, values, origin }: &Setting, names: &[&str]) -> String {
    let Known { name, variable, form, is_list, .. } = known;
    let origin = match origin {
        Origin::Flag => format!("--{name}"),
        Origin::Variable => variable.clone(),
        Origin::File(path, line) => one_line(&format!("{}:{line}", path.display())),
        Origin::Default => "default".to_owned(),
    };
    let mut texts = values.iter().map(|value| value.to_str());
    if texts.any(|text| text.is_none()) {
        return format!("# {name} is no UTF-8, which a file has to be: {origin}");
    }
    let mut texts = values.iter().filter_map(|value| value.to_str());
    let value = if *is_list {
        Value::Array(texts.map(|text| value(*form, text)).collect())
    } else {
        match texts.next() {
            Some(text) => value(*form, text),
            None => return format!("# {name} is not set: {origin}"),
        }
    };
    format!("{} = {value} # {origin}", key(name, names))
}

/// A key that is no table of other settings' too.
fn key(name: &str, names: &[&str]) -> String {
    let stands_in = |whole: &str, part: &str| {
        whole.strip_prefix(part).is_some_and(|rest| rest.starts_with('.'))
    };
    let clashes = names.iter().any(|other| stands_in(other, name) || stands_in(name, other));
    if clashes { format!("\"{name}\"") } else { name.to_owned() }
}

fn value(form: Form, text: &str) -> Value {
    let value = match form {
        Form::Truth => text.parse().ok().map(Value::Boolean),
        Form::Whole => text.parse().ok().map(Value::Integer),
        Form::Fraction => text.parse().ok().map(Value::Float),
        Form::Text => None,
    };
    value.unwrap_or_else(|| Value::String(text.to_owned()))
}
