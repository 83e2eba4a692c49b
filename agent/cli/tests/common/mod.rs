//! What tests of documents share.

use serde_json::Value;

/// Fails where a document is not of the schema.
pub fn assert_schema(document: &Value) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema/memgap-1.json");
    let schema = std::fs::read_to_string(path).expect("the schema is readable");
    let schema = serde_json::from_str(&schema).expect("JSON");
    let schema = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<String> = schema.iter_errors(document).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?} in {document:#}");
}
