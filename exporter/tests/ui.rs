//! The pages for people: what they show is what the API says, whatever programs call themselves.

mod common;

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use common::daemon::Daemon;
use serde_json::Value;

/// A program with a name of its own choice, that ends with the value.
struct Named(Child);

impl Named {
    fn start(name: &str) -> Self {
        // The name that the kernel shows is that of the file: a link to it has any.
        let link = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink("/bin/sleep", &link).expect("a link");
        let child = Command::new(&link).arg0(name).arg("600").spawn().expect("sleep");
        Self(child)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A page, which no script can be in.
fn page(daemon: &Daemon, path: &str) -> String {
    let answer = daemon.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.header("content-security-policy"), POLICY);
    let text = answer.text();
    for forbidden in ["<script", " style=", "javascript:", "http://", "https://"] {
        assert!(!text.contains(forbidden), "{path}: {forbidden}: {text}");
    }
    text
}

fn document(daemon: &Daemon, path: &str) -> Value {
    serde_json::from_slice(&daemon.get(path).body).expect("JSON")
}

#[test]
fn pages_show_what_the_api_says() {
    let named = Named::start("<script>x");
    let daemon = Daemon::ready(&["--web.api"]);
    let pid = named.0.id();
    let overview = page(&daemon, "/?sort=name");
    assert!(overview.contains("&lt;script&gt;x"), "{overview}");
    assert!(overview.contains(&format!("process?pid={pid}")), "{overview}");
    assert!(overview.len() < 150 << 10, "{} bytes", overview.len());

    let shown = page(&daemon, &format!("/process?pid={pid}"));
    let list = document(&daemon, "/api/v1/processes?name=%3Cscript%3Ex");
    let items = list["items"].as_array().expect("items");
    let said = items.iter().find(|item| item["scope"]["pid"] == pid).expect("it runs");
    let verdict =
        said["verdict"].as_str().expect("words").replace('<', "&lt;").replace('>', "&gt;");
    assert!(shown.contains(&verdict), "{verdict}\n{shown}");
    for account in said["accounts"].as_array().expect("accounts") {
        let is_zero = account["bytes"] == 0;
        let name = format!("<th scope=\"row\">{}</th>", account["name"].as_str().expect("a name"));
        assert!(is_zero || shown.contains(&name), "{name}");
    }
    let host = page(&daemon, "/host");
    assert!(host.contains("kernel_unaccounted"), "{host}");
    assert!(page(&daemon, "/finding?id=lazy-free").contains("MADV_FREE"));
    assert_eq!(daemon.get("/style.css").header("content-type"), "text/css; charset=utf-8");
}

#[test]
fn what_is_not_there_is_said_in_a_page() {
    let daemon = Daemon::ready(&["--web.api"]);
    for (path, status, word) in [
        ("/process?pid=4294967295", 404, "process 4294967295 was not there"),
        ("/process?pid=x", 404, "process x was not there"),
        ("/process", 404, "was not there"),
        ("/cgroup?path=/no/such", 404, "/no/such was not there"),
        ("/cgroup?path=%ff", 404, "was not there"),
        ("/finding?id=none", 404, "there is no such finding"),
        ("/?sort=colour", 400, "is none of name, usage, required, room, back"),
        ("/process?pid=%3Cb%3E", 404, "process &lt;b&gt; was not there"),
    ] {
        let answer = daemon.get(path);
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("content-security-policy"), POLICY);
        assert!(answer.text().contains(word), "{path}: {}", answer.text());
    }
    // Without the API there is nothing that they could be made of.
    let bare = Daemon::ready(&[]);
    assert_eq!(bare.get("/host").status, 404);
    assert!(bare.get("/").text().contains("--web.api"), "{}", bare.get("/").text());
}
