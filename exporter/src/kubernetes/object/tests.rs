use super::*;

fn pod(more: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"web-1","namespace":"shop","uid":"u-1",
        "resourceVersion":"7","managedFields":[{{"a":[1]}}]{more}}},"spec":{{"x":null}}}}"#
    )
}

#[test]
fn a_list_is_pods_with_their_controllers() {
    let owners = r#","labels":{"pod-template-hash":"5d"},"ownerReferences":[
        {"apiVersion":"v1","kind":"Thing","name":"t","uid":"u-0"},
        {"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5d","uid":"u-2","controller":true}]"#;
    let mirror = r#","annotations":{"kubernetes.io/config.mirror":"abc"}"#;
    let nulls = r#","labels":null,"annotations":null,"ownerReferences":null"#;
    let text = format!(
        r#"{{"kind":"PodList","metadata":{{"resourceVersion":"9"}},"items":[{},{},{},{}]}}"#,
        pod(owners),
        pod(mirror),
        pod(nulls),
        r#"{"metadata":{"name":"a b","namespace":"shop","uid":"u"}}"#,
    );
    let list = list(text.as_bytes()).expect("a list");
    assert_eq!((list.version.as_str(), list.left_out, list.pods.len()), ("9", 1, 3));
    let [first, second, third] = &list.pods[..] else { unreachable!("three") };
    let owner = first.owner.as_ref().expect("one controls it");
    assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("ReplicaSet", "web-5d"));
    assert_eq!(first.template_hash.as_deref(), Some("5d"));
    assert_eq!((second.uid.as_str(), third.uid.as_str()), ("abc", "u-1"));
    assert_eq!((&third.owner, &third.template_hash), (&None, &None));
}

#[test]
fn events_are_changes_ends_and_errors() {
    let of = |kind: &str, object: &str| {
        event(format!(r#"{{"type":"{kind}","object":{object}}}"#).as_bytes())
    };
    assert!(matches!(of("ADDED", &pod("")), Ok(Event::Pod(_, v)) if v == "7"));
    assert!(matches!(of("DELETED", &pod("")), Ok(Event::Gone(p, _)) if p.uid == "u-1"));
    let bookmark = r#"{"metadata":{"resourceVersion":"12"}}"#;
    assert_eq!(of("BOOKMARK", bookmark), Ok(Event::Bookmark("12".to_owned())));
    assert_eq!(of("ERROR", r#"{"kind":"Status","code":410}"#), Ok(Event::TooOld));
    assert_eq!(of("ERROR", r#"{"kind":"Status","code":500}"#), Ok(Event::Failed(500)));
    for bad in [r#"{"metadata":{}}"#, "{}", "[]", r#"{"metadata":{"resourceVersion":"a&b"}}"#] {
        of("BOOKMARK", bad).expect_err(bad);
    }
    of("WHAT", &pod("")).expect_err("no type");
}

#[test]
fn an_endpoint_is_named_once_the_pod_has_an_address() {
    let of = |word: &str, rest: &str| {
        let pod = pod(&format!(r#","annotations":{{"memgap.io/endpoint":"{word}"}}"#));
        let pod = pod.replace(r#","spec":{"x":null}}"#, rest);
        let event = event(format!(r#"{{"type":"ADDED","object":{pod}}}"#).as_bytes());
        let Ok(Event::Pod(pod, _)) = event else { unreachable!("{event:?}") };
        pod.endpoint.map(|e| (e.word, e.address.to_string(), e.is_on_host))
    };
    let at = r#","status":{"conditions":[{}],"podIP":"10.0.0.7","podIPs":[]}}"#;
    let named = |word: &str| Some((word.to_owned(), "10.0.0.7".to_owned(), false));
    assert_eq!(of("80/x", at), named("80/x"));
    assert_eq!(of("80 x", at), named(""));
    assert_eq!(of(&"8".repeat(600), at), named(""));
    let on_host = r#","spec":{"hostNetwork":true},"status":{"podIP":"::1"}}"#;
    assert_eq!(of("80", on_host), Some(("80".to_owned(), "::1".to_owned(), true)));
    for rest in ["}", r#","status":null}"#, r#","status":{}}"#, r#","status":{"podIP":""}}"#] {
        assert_eq!(of("80", rest), None, "{rest}");
    }
}

#[test]
fn what_is_longer_than_a_name_is_none() {
    let long =
        format!(r#","annotations":{{"kubernetes.io/config.mirror":"{}"}}"#, "x".repeat(1 << 16));
    let found = event(format!(r#"{{"type":"ADDED","object":{}}}"#, pod(&long)).as_bytes());
    assert!(matches!(found, Ok(Event::Pod(pod, _)) if pod.uid == "u-1"));
}
