//! What pods are of, as an API server tells that does what a test says: the real exporter on a
//! captured node.
#![allow(clippy::float_cmp, reason = "whole numbers")]

#[path = "common/api_server.rs"]
mod api_server;
#[path = "common/certificates.rs"]
mod certificates;
mod common;
#[path = "common/pods.rs"]
mod pods;

use std::fs;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use api_server::{ApiServer, begin, chunk, hold, whole};
use common::{Family, samples};
use pods::*;

#[test]
fn each_pod_is_told_with_what_it_is_of() {
    let server = ApiServer::start(|request, client| {
        if is_of(request, "watch=1") { quiet(client) } else { sound(request, client, &both()) }
    });
    let daemon = start(&server);
    let found = wait(&daemon, "both", |f| told(f) == [BY_OWNER, OF_ORDERS]);
    assert_eq!(figure(&found, "pods"), Some(2.0));
    let asked = server.asked();
    assert!(asked.iter().all(|request| request.token == "token-1"));
    let first = &asked[0].path;
    assert!(first.starts_with("/api/v1/pods?fieldSelector=spec.nodeName%3Dworker-1%2C"), "{first}");
    // It has no rights but to speak with the server.
    let status = fs::read_to_string(format!("/proc/{}/status", watcher(&daemon))).expect("it runs");
    for line in ["Name:\tmemgap-watcher\n", "CapPrm:\t0000000000000000\n", "NoNewPrivs:\t1\n"] {
        assert!(status.contains(line), "{status}");
    }
    assert!(!status.contains("Seccomp:") || status.contains("Seccomp:\t2\n"), "{status}");
}

#[test]
fn without_the_right_to_read_replica_sets_it_is_known_by_name() {
    let server = ApiServer::start(|request, client| match () {
        () if is_of(request, "watch=1") => quiet(client),
        () if is_of(request, "replicasets") => whole(client, 403, "{}"),
        () => sound(request, client, &both()),
    });
    let daemon = start(&server);
    let found = wait(&daemon, "both", |f| told(f) == [BY_NAME, OF_ORDERS]);
    assert_eq!(asked(&found, "owner", "forbidden"), 1.0);
}

#[test]
fn what_is_too_long_ago_is_listed_anew() {
    for status in [true, false] {
        let lists = AtomicUsize::new(0);
        let server = ApiServer::start(move |request, client| {
            let of_first = lists.load(Ordering::Relaxed) < 2;
            if is_of(request, "watch=1") && of_first && status {
                return whole(client, 410, "{}");
            }
            if is_of(request, "watch=1") && of_first {
                begin(client)?;
                chunk(client, &event("ERROR", r#"{"kind":"Status","code":410}"#))?;
                return hold(client);
            }
            if is_of(request, "watch=1") {
                return quiet(client);
            }
            if is_of(request, "replicasets") {
                return replica_set(client);
            }
            let nth = lists.fetch_add(1, Ordering::Relaxed);
            whole(client, 200, &list(10, &both()[nth.min(1)..]))
        });
        let daemon = start(&server);
        let found = wait(&daemon, "one is gone", |f| {
            told(f) == [OF_ORDERS] && asked(f, "watch", "gone") > 0.0
        });
        assert_eq!(asked(&found, "list", "ok"), 2.0);
        let paths: Vec<_> = server.asked().into_iter().map(|request| request.path).collect();
        let lists: Vec<_> = paths.iter().filter(|path| !path.contains("watch=1")).collect();
        assert!(lists[0].ends_with("resourceVersion=0"), "{lists:?}");
        // What the server has at hand may be as old as what was too old.
        assert!(!lists.last().expect("two").contains("resourceVersion"), "{lists:?}");
    }
}

#[test]
fn a_watch_that_breaks_off_within_a_line_is_taken_up_where_it_was() {
    let watches = AtomicUsize::new(0);
    let server = ApiServer::start(move |request, client| {
        if !is_of(request, "watch=1") {
            return sound(request, client, &[pod(CHECKOUT, REPLICA_SET)]);
        }
        begin(client)?;
        let bookmark = r#"{"metadata":{"resourceVersion":"77"}}"#;
        let added = event("ADDED", &pod(ORDERS, STATEFUL_SET));
        match watches.fetch_add(1, Ordering::Relaxed) {
            0 => {
                chunk(client, &event("BOOKMARK", bookmark))?;
                chunk(client, &added[..added.len() / 2])?;
                Err(io::Error::other("it breaks off"))
            }
            _ => {
                assert!(is_of(request, "resourceVersion=77"), "{request:?}");
                // In pieces that are no lines.
                for piece in added.as_bytes().chunks(7) {
                    chunk(client, std::str::from_utf8(piece).expect("ASCII"))?;
                }
                hold(client)
            }
        }
    });
    let daemon = start(&server);
    let found = wait(&daemon, "it is added", |f| told(f) == [BY_OWNER, OF_ORDERS]);
    assert_eq!((asked(&found, "list", "ok"), asked(&found, "watch", "unreachable")), (1.0, 1.0));
}

#[test]
fn a_token_is_read_again_and_what_was_known_stays_meanwhile() {
    let server = ApiServer::start(|request, client| match request.token.as_str() {
        "token-1" if is_of(request, "watch=1") => begin(client).and_then(|()| chunk(client, "")),
        "token-1" => sound(request, client, &both()),
        _ => whole(client, 401, "{}"),
    });
    let daemon = start(&server);
    wait(&daemon, "both", |f| told(f) == [BY_OWNER, OF_ORDERS]);
    // The old one has expired.
    server.answer(|request, client| match request.token.as_str() {
        "token-2" if is_of(request, "watch=1") => {
            begin(client)?;
            chunk(client, &event("DELETED", &pod(ORDERS, STATEFUL_SET)))?;
            hold(client)
        }
        "token-2" => sound(request, client, &both()),
        _ => whole(client, 401, "{}"),
    });
    let found = wait(&daemon, "it is refused", |f| asked(f, "watch", "unauthorized") > 1.0);
    assert_eq!(told(&found), [BY_OWNER, OF_ORDERS]);
    // As the kubelet does: another file by the same name.
    let new = server.credentials.join("new");
    fs::write(&new, "token-2").expect("a file");
    fs::rename(&new, server.credentials.join("token")).expect("it is replaced");
    wait(&daemon, "it is let in", |f| told(f) == [BY_OWNER]);
}

#[test]
fn while_no_server_answers_what_was_known_stays_and_gets_older() {
    let server = ApiServer::start(|request, client| {
        if is_of(request, "watch=1") { begin(client) } else { sound(request, client, &both()) }
    });
    let daemon = start(&server);
    wait(&daemon, "both", |f| told(f) == [BY_OWNER, OF_ORDERS]);
    server.answer(|_, _| Err(io::Error::other("it says nothing")));
    let found = wait(&daemon, "it gets older", |f| {
        asked(f, "watch", "unreachable") > 2.0
            && figure(f, "age_seconds").is_some_and(|age| age > 1.0)
    });
    assert_eq!(told(&found), [BY_OWNER, OF_ORDERS]);
    server.answer(
        |request, client| {
            if is_of(request, "watch=1") { quiet(client) } else { whole(client, 500, "") }
        },
    );
    wait(&daemon, "it is back", |f| figure(f, "age_seconds").is_some_and(|age| age < 1.0));
}

#[test]
fn endpoints_that_pods_name_are_told_by_the_watch_too() {
    let named = |of: [&str; 2], rest: &str| {
        let annotated = r#""annotations":{"memgap.io/endpoint":"9"},"labels""#;
        pod(of, STATEFUL_SET)
            .replace("\"labels\"", annotated)
            .replace(r#""spec":{"x":[1,null]}"#, rest)
    };
    let pods = [
        named(CHECKOUT, r#""spec":{"hostNetwork":true},"status":{"podIP":"10.0.0.1"}"#),
        // An address that nobody has.
        named(ORDERS, r#""spec":{},"status":{"phase":"Running","podIP":"192.0.2.1"}"#),
    ];
    let server = ApiServer::start(move |request, client| {
        if is_of(request, "watch=1") { quiet(client) } else { sound(request, client, &pods) }
    });
    let daemon = start_with(&server, &["--endpoint.pods=watch"]);
    let said = daemon.wait_for_line("names an endpoint by memgap.io/endpoint");
    assert!(said.contains("shop/checkout-") && said.contains("the node's"), "{said}");
    let is_asked = |families: &[Family], name: &str| {
        let all = samples(families, "memgap_exporter_endpoint_scrapes_total");
        all.iter().any(|s| s.label("endpoint") == name)
    };
    wait(&daemon, "the other is asked", |f| is_asked(f, "pods") && is_asked(f, "pod"));
}

#[test]
fn lies_name_nobody() {
    // Another name for a pod that the node knows; a pod by the id of one that is not there.
    let lies = [
        pod(["checkout-1", CHECKOUT[1]], STATEFUL_SET),
        pod(["orders-0", "a84b6e12-0c3d-4f9e-b1a7-000000000000"], STATEFUL_SET),
        pod(["a\\\"} 1", ORDERS[1]], STATEFUL_SET),
    ];
    let server = ApiServer::start(move |request, client| {
        if is_of(request, "watch=1") { quiet(client) } else { sound(request, client, &lies) }
    });
    let daemon = start(&server);
    let found = wait(&daemon, "they came", |f| figure(f, "pods") == Some(2.0));
    assert!(told(&found).is_empty(), "{:?}", told(&found));
    assert_eq!(figure(&found, "pods_left_out"), Some(1.0));
    drop(daemon);
    // A ReplicaSet of the same name, and not the same.
    let server = ApiServer::start(|request, client| match () {
        () if is_of(request, "watch=1") => quiet(client),
        () if is_of(request, "replicasets") => {
            let of = owner(["apps/v1", "Deployment", "other"]);
            whole(client, 200, &format!(r#"{{"metadata":{{"uid":"u","ownerReferences":{of}}}}}"#))
        }
        () => sound(request, client, &both()),
    });
    let daemon = start(&server);
    wait(&daemon, "by name", |f| told(f) == [BY_NAME, OF_ORDERS]);
}

#[test]
fn answers_without_end_take_no_memory() {
    let piece = "x".repeat(1 << 16);
    let server = ApiServer::start(move |request, client| {
        begin(client)?;
        if !is_of(request, "watch=1") && request.path.contains("resourceVersion=0") {
            chunk(client, "{\"metadata\":{\"annotations\":{\"a\":\"")?;
        }
        loop {
            chunk(client, &piece)?;
        }
    });
    let daemon = start(&server);
    let found = wait(&daemon, "it is given up", |f| asked(f, "list", "malformed") > 1.0);
    assert!(told(&found).is_empty(), "{:?}", told(&found));
    assert!(resident(watcher(&daemon)) < 48 << 20, "{}", resident(watcher(&daemon)));
    // The same of an event.
    let piece = "x".repeat(1 << 16);
    server.answer(move |request, client| {
        if !is_of(request, "watch=1") {
            return sound(request, client, &both());
        }
        begin(client)?;
        loop {
            chunk(client, &piece)?;
        }
    });
    let found = wait(&daemon, "it is given up", |f| asked(f, "watch", "malformed") > 0.0);
    assert_eq!(told(&found), [BY_OWNER, OF_ORDERS]);
    assert!(resident(watcher(&daemon)) < 48 << 20, "{}", resident(watcher(&daemon)));
}

#[test]
fn who_says_nothing_is_given_up() {
    let server = ApiServer::start(|_, client| hold(client));
    let daemon = start(&server);
    wait(&daemon, "it is given up", |f| asked(f, "list", "unreachable") > 0.0);
}

#[test]
fn thousands_come_and_go_and_nothing_is_left() {
    const STAY: usize = 1000;
    const COME: usize = 2000;
    let many = |n: usize| {
        let (name, uid) = (format!("job-{n}"), format!("00000000-0000-4000-8000-{n:012}"));
        pod([name.as_str(), uid.as_str()], ["batch.example.org/v1", "Task", "task"])
    };
    let watched = Mutex::new(false);
    let server = ApiServer::start(move |request, client| {
        if !is_of(request, "watch=1") {
            let pods: Vec<_> = both().into_iter().chain((0..STAY).map(many)).collect();
            return sound(request, client, &pods);
        }
        begin(client)?;
        let mut is_done = watched.lock().expect("nobody panics");
        for n in (STAY..STAY + COME).filter(|_| !*is_done) {
            for kind in ["ADDED", "MODIFIED", "DELETED"] {
                chunk(client, &event(kind, &many(n)))?;
            }
        }
        *is_done = true;
        chunk(client, &event("DELETED", &pod(ORDERS, STATEFUL_SET)))?;
        hold(client)
    });
    let daemon = start(&server);
    let found = wait(&daemon, "all have gone", |f| {
        told(f) == [BY_OWNER] && figure(f, "pods") == Some((STAY + 1) as f64)
    });
    assert_eq!((asked(&found, "list", "ok"), asked(&found, "watch", "ok")), (1.0, 1.0));
    let took = resident(watcher(&daemon));
    assert!(took < 24 << 20, "{took}");
}
