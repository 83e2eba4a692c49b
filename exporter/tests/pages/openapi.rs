//! `docs/schema/openapi-1.json` is one file that holds all it speaks of.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema/memgap-1.json");
const OPENAPI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema/openapi-1.json");
const SCHEMAS: &str = "#/components/schemas/";

fn read(path: &str) -> Value {
    let text = std::fs::read_to_string(path).expect("the document is readable");
    serde_json::from_str(&text).expect("JSON")
}

/// The parts of the schema that the OpenAPI document uses stand in it, for programs that
/// read one file. `UPDATE_DOCS=1 cargo test --test page` writes them.
#[test]
fn the_openapi_document_holds_the_schema() {
    let mut document = read(OPENAPI);
    let definitions = read(SCHEMA)["$defs"].as_object().expect("definitions").clone();
    let own = document["components"]["schemas"]["problem"].clone();
    let mut schemas = Map::from_iter([("problem".to_owned(), own)]);
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    references(&document["paths"], &mut wanted);
    while let Some(name) = wanted.pop_first() {
        if let (false, Some(definition)) = (schemas.contains_key(&name), definitions.get(&name)) {
            let moved = moved(definition);
            references(&moved, &mut wanted);
            schemas.insert(name, moved);
        }
    }
    document["components"]["schemas"] = Value::Object(schemas);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let text = serde_json::to_string_pretty(&document).expect("JSON") + "\n";
        std::fs::write(OPENAPI, text).expect("docs/ is writable");
    }
    assert!(read(OPENAPI) == document, "run with UPDATE_DOCS=1");
}

/// A definition whose references lead to where it stands in the OpenAPI document.
fn moved(definition: &Value) -> Value {
    let text = definition.to_string().replace("#/$defs/", SCHEMAS);
    serde_json::from_str(&text).expect("JSON")
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => found.extend(text.strip_prefix(SCHEMAS).map(str::to_owned)),
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(members) => members.values().for_each(|member| references(member, found)),
        _ => {}
    }
}
