//! Real servers for live tests: started in a directory of their own, on Unix
//! sockets where they can, and ended with it.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::cgroup::Cgroup;

/// A server process and its directory; both end with the value.
#[derive(Debug)]
pub struct Service {
    child: Child,
    dir: PathBuf,
    socket: PathBuf,
}

/// How long a server may take to open its socket on a busy machine.
const START: Duration = Duration::from_mins(1);

/// How long one may take to end by itself.
const END: Duration = Duration::from_secs(5);

impl Service {
    /// Debian's redis, without persistence.
    pub fn redis() -> Result<Self> {
        Self::redis_by(&mut Command::new("redis-server"))
    }

    /// As `redis`, in a cgroup: it is moved there before it runs.
    pub fn redis_in(group: &Cgroup) -> Result<Self> {
        Self::redis_by(&mut group.command("redis-server"))
    }

    fn redis_by(command: &mut Command) -> Result<Self> {
        let dir = directory("redis")?;
        let socket = dir.join("socket");
        let child = command
            .args(["--port", "0", "--save", "", "--enable-debug-command", "yes", "--dir"])
            .arg(&dir)
            .arg("--unixsocket")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .context("failed to start redis-server: run tests/install")?;
        Self { child, dir, socket }.ready()
    }

    /// Debian's PostgreSQL with a fresh cluster, as the user that it insists on.
    pub fn postgres() -> Result<Self> {
        Self::postgres_with(&[])
    }

    /// As `postgres`, with settings, each `name=value`.
    pub fn postgres_with(settings: &[&str]) -> Result<Self> {
        let dir = directory("postgres")?;
        let bin = newest_postgres()?;
        // It refuses to run as root; any other user will do.
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            run(Command::new("chown").arg("postgres").arg(&dir))?;
        }
        let as_postgres = |program: &str| {
            let mut command = Command::new("env");
            if is_root {
                command = Command::new("setpriv");
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]);
            }
            command.arg(bin.join(program)).current_dir(&dir);
            command
        };
        let data = dir.join("data");
        run(as_postgres("initdb").arg("-D").arg(&data).args([
            "-A",
            "trust",
            "-U",
            "postgres",
            "--no-sync",
        ]))?;
        let child = as_postgres("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(&dir)
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start postgres: run tests/install")?;
        let socket = dir.join(".s.PGSQL.5432");
        let state = data.join("postmaster.pid");
        let service = Self { child, dir, socket }.ready()?;
        service
            .wait(|| std::fs::read_to_string(&state).is_ok_and(|text| text.contains("ready")))?;
        Ok(service)
    }

    /// Starts a load on PostgreSQL.
    pub fn pgbench(&self, args: &[&str]) -> Result<Child> {
        let mut command = Command::new(newest_postgres()?.join("pgbench"));
        command.arg("-h").arg(&self.dir).args(["-U", "postgres"]).args(args).arg("postgres");
        Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    }

    /// Debian's nginx with one worker that serves its directory.
    pub fn nginx() -> Result<Self> {
        let dir = directory("nginx")?;
        let socket = dir.join("socket");
        let config = format!(
            "pid {0}/pid; daemon off; worker_processes 1; error_log {0}/log; events {{}}
             http {{ access_log off; client_body_temp_path {0}/body; proxy_temp_path {0}/proxy;
             fastcgi_temp_path {0}/fastcgi; uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;
             server {{ listen unix:{1}; root {0}; }} }}",
            dir.display(),
            socket.display()
        );
        let path = dir.join("nginx.conf");
        std::fs::write(&path, config).context("failed to write nginx.conf")?;
        let child = Command::new("nginx")
            .arg("-c")
            .arg(&path)
            .arg("-e")
            .arg(dir.join("log"))
            .spawn()
            .context("failed to start nginx: run tests/install")?;
        Self { child, dir, socket }.ready()
    }

    /// Debian's memcached.
    pub fn memcached() -> Result<Self> {
        let dir = directory("memcached")?;
        let socket = dir.join("socket");
        let mut command = Command::new("memcached");
        command.args(["-u", "root", "-s"]).arg(&socket);
        Self::start(&mut command, dir, socket)
    }

    /// Debian's MariaDB with a fresh data directory, which the root of the machine
    /// may enter.
    pub fn mariadb() -> Result<Self> {
        let dir = directory("mariadb")?;
        // The script knows an option and its value as one word only.
        let data = format!("--datadir={}", dir.join("data").display());
        // Root has to say that it means itself, and no other user may name one.
        let is_root = rustix::process::geteuid().is_root();
        let user = is_root.then_some("--user=root");
        let mut install = Command::new("mariadb-install-db");
        run(install.arg("--no-defaults").args(user).args(["--skip-test-db", &data]))?;
        let socket = dir.join("socket");
        let mut command = Command::new("mariadbd");
        command.arg("--no-defaults").args(user).args(["--skip-networking", &data]);
        command.arg("--socket").arg(&socket).stderr(Stdio::null());
        Self::start(&mut command, dir, socket)
    }

    /// Debian's prometheus, which scrapes itself.
    pub fn prometheus() -> Result<Self> {
        let dir = directory("prometheus")?;
        let config = dir.join("prometheus.yml");
        // A port that nobody has at the moment.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let jobs = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n\
             - {{job_name: own, static_configs: [{{targets: ['{address}']}}]}}\n"
        );
        std::fs::write(&config, jobs).context("failed to write prometheus.yml")?;
        let mut command = Command::new("prometheus");
        command.arg(format!("--web.listen-address={address}"));
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", dir.join("data").display()));
        let child = command
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start prometheus: run tests/install")?;
        let service = Self { child, socket: dir.clone(), dir };
        service.wait(|| TcpStream::connect(address).is_ok())?;
        Ok(service)
    }

    /// Starts a server that listens on a socket in its directory.
    fn start(command: &mut Command, dir: PathBuf, socket: PathBuf) -> Result<Self> {
        let child = command
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("failed to start {command:?}: run tests/install"))?;
        Self { child, dir, socket }.ready()
    }

    /// The process that was started.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its directory, where its socket is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The socket that it answers on.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    fn ready(self) -> Result<Self> {
        self.wait(|| UnixStream::connect(&self.socket).is_ok())?;
        Ok(self)
    }

    fn wait(&self, is_there: impl Fn() -> bool) -> Result<()> {
        let started = Instant::now();
        while !is_there() {
            if started.elapsed() > START {
                bail!("the server in {} does not become ready", self.dir.display());
            }
            std::thread::yield_now();
        }
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Postgres and nginx end their own children, if they are asked. The others have
        // none, and mariadbd may wait for ever if it is asked right after its start.
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _ = pid.map(|pid| kill_process(pid, Signal::INT));
        let asked = Instant::now();
        while asked.elapsed() < END && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A fresh directory that any user may enter, for one of several in this process.
fn directory(name: &str) -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("memgap-test-{name}-{}-{number}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&dir).with_context(|| format!("failed to create {}", dir.display()))?;
    Ok(dir)
}

fn newest_postgres() -> Result<PathBuf> {
    let root = Path::new("/usr/lib/postgresql");
    let versions = std::fs::read_dir(root).context("no PostgreSQL: run tests/install")?;
    let newest = versions
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.parse::<u32>().ok())
        .max()
        .context("no PostgreSQL: run tests/install")?;
    Ok(root.join(newest.to_string()).join("bin"))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("failed to start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
