//! A web configuration that is read again and again, by a thread of its own: a file system
//! that does not answer stops nothing else.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;

use super::Access;
use super::files::Contents;

/// Time between two looks. Files that were replaced (by rename, or by a link that leads
/// elsewhere, as Kubernetes does it) are told by what they hold.
const PAUSE: Duration = Duration::from_secs(1);

/// The last contents that were right.
pub type Current = watch::Receiver<Arc<Contents>>;

/// Reads the file, which has to be right, and watches it from then on.
pub fn start(path: &Path) -> anyhow::Result<Current> {
    let first = check(path)?;
    let (publish, current) = watch::channel(Arc::new(first));
    let path = path.to_owned();
    let look = move || look(&path, &publish);
    thread::Builder::new()
        .name("web-config".to_owned())
        .spawn(look)
        .context("can not start the thread that reads the web configuration")?;
    Ok(current)
}

/// Reads the file and those that it names, and tells what is wrong.
pub fn check(path: &Path) -> anyhow::Result<Contents> {
    let contents = read(path, None)?;
    contents.context("the first reading is one of nothing known")
}

/// Reads it whole, unless it is what it was.
fn read(path: &Path, known: Option<&Contents>) -> anyhow::Result<Option<Contents>> {
    let wrong = |error| anyhow::anyhow!("web configuration {}: {error:#}", path.display());
    let contents = Contents::read(path).map_err(wrong)?;
    if known == Some(&contents) {
        return Ok(None);
    }
    for note in Access::of(&contents).map_err(wrong)?.notes {
        tracing::warn!("web configuration {}: {note}", path.display());
    }
    Ok(Some(contents))
}

fn look(path: &Path, publish: &watch::Sender<Arc<Contents>>) {
    let mut last_error = None;
    while !publish.is_closed() {
        thread::sleep(PAUSE);
        let known = publish.borrow().clone();
        match read(path, Some(&known)) {
            Ok(changed) => {
                if last_error.take().is_some() {
                    tracing::info!("web configuration {} is right again", path.display());
                }
                if let Some(contents) = changed {
                    publish.send_replace(Arc::new(contents));
                }
            }
            Err(error) => {
                let error = format!("{error:#}");
                if last_error.as_ref() != Some(&error) {
                    tracing::error!("{error}: what was right before stays in force");
                    last_error = Some(error);
                }
            }
        }
    }
}
