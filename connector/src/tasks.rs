//! The tasks and threads of the process, all begun here. One that panics ends the run: a process that lives
//! on without one of its tasks would look healthy and do less than it says.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::LazyLock;
use std::thread;

use futures::FutureExt;
use tidegate_sinks::failpoints::reach_task;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A task that has ended though it never should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Lost {
    /// What the task is there for, or its thread's name.
    pub task: String,
    /// Why it ended. Never what it worked on.
    pub why: String,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the task {:?} has ended {}, so the process ends too: this is a defect, report it with the log. Nothing is lost: the \
             next start goes on from the newest checkpoint",
            self.task, self.why
        )
    }
}

/// The first one that was lost in this process.
static LOST: LazyLock<watch::Sender<Option<Lost>>> = LazyLock::new(|| watch::channel(None).0);

thread_local! {
    /// The task that this thread works on.
    static TASK: Cell<Option<&'static str>> = const { Cell::new(None) };
    /// Where this thread has panicked last.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The task that was lost first, whenever one is.
pub fn lost() -> watch::Receiver<Option<Lost>> {
    LOST.subscribe()
}

/// Notes that a task has ended which never should.
pub fn lose(lost: Lost) {
    LOST.send_if_modified(|first| {
        let is_first = first.is_none();
        if is_first {
            *first = Some(lost);
        }
        is_first
    });
}

/// From now on each panic of the process ends the run, also one of a thread that a library began. What is
/// told of it is its place: its message may repeat what the task worked on.
pub fn watch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = place(panic);
        PLACE.set(Some(place.clone()));
        let thread = thread::current();
        let task = TASK.get().or(thread.name()).unwrap_or("unnamed");
        // A literal holds nothing of a record.
        let message = panic.payload().downcast_ref::<&str>().copied();
        tracing::error!(task, place, message, "panicked");
        let backtrace = std::backtrace::Backtrace::capture();
        if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
            tracing::error!("{backtrace}");
        }
        lose(Lost { task: task.to_owned(), why: format!("by a panic at {place}") });
    }));
}

fn place(panic: &PanicHookInfo<'_>) -> String {
    panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string)
}

/// Begins a task. Should it panic, the run ends.
pub fn spawn<T: Send + 'static>(
    task: &'static str,
    work: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(async move {
        match guard(task, work).await {
            Ok(done) => done,
            Err(panicked) => {
                lose(panicked.lost);
                resume_unwind(panicked.payload)
            }
        }
    })
}

/// The same, where somebody waits for what comes of it: `instead` of a panic.
pub(crate) fn spawn_or<T: Send + 'static>(
    task: &'static str,
    work: impl Future<Output = T> + Send + 'static,
    instead: impl FnOnce(Lost) -> T + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(async move {
        guard(task, work).await.unwrap_or_else(|panicked| {
            lose(panicked.lost.clone());
            instead(panicked.lost)
        })
    })
}

/// Begins a thread. Should it panic, the run ends.
pub fn thread<T: Send + 'static>(
    name: String,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<thread::JoinHandle<T>> {
    let task = name.clone();
    thread::Builder::new().name(name).spawn(move || {
        let work = || {
            reach_task(&task);
            work()
        };
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
            lose(lost_by_panic(task));
            resume_unwind(payload)
        })
    })
}

/// What `work` comes to, or how it was lost.
pub(crate) async fn guard<T>(task: &'static str, work: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut work = pin!(work);
    let named = poll_fn(|context| {
        // Put back also after a panic: the hook, which reads the name, has run before.
        let _restore = Restore(TASK.replace(Some(task)));
        reach_task(task);
        work.as_mut().poll(context)
    });
    let done = AssertUnwindSafe(named).catch_unwind().await;
    done.map_err(|payload| Panicked { lost: lost_by_panic(task.to_owned()), payload })
}

/// A panic that was caught.
pub(crate) struct Panicked {
    pub(crate) lost: Lost,
    payload: Box<dyn Any + Send>,
}

fn lost_by_panic(task: String) -> Lost {
    let place = PLACE.take().map(|place| format!(" at {place}")).unwrap_or_default();
    Lost { task, why: format!("by a panic{place}") }
}

struct Restore(Option<&'static str>);

impl Drop for Restore {
    fn drop(&mut self) {
        TASK.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::{fs, io};

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_lost_and_named() {
        let ended = spawn("panics", async { panic!("on purpose") }).await;
        assert!(ended.unwrap_err().is_panic());
        let first = lost().borrow().clone().expect("the run is told");
        assert!(thread("fails".into(), || panic!("on purpose")).unwrap().join().is_err());
        assert_eq!(lost().borrow().clone(), Some(first), "the first one is the reason");
        let named = spawn_or("commit", async { panic!("on purpose") }, |lost| lost.to_string());
        assert!(named.await.unwrap().contains("\"commit\" has ended by a panic"));
        assert_eq!(spawn("ends", async { 5 }).await.unwrap(), 5);
    }

    /// Lines of this crate's sources that are not of tests and begin a task or a thread.
    fn begun(folder: &Path, found: &mut Vec<String>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            if name == "tests" {
                continue;
            }
            if path.is_dir() {
                begun(&path, found)?;
                continue;
            }
            let text = fs::read_to_string(&path)?;
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            let words =
                ["tokio::spawn(", "task::spawn(", "thread::spawn(", "thread::Builder", "runtime.spawn("];
            let lines = code.lines().filter(|line| words.iter().any(|word| line.contains(word)));
            found.extend(lines.map(|line| format!("{}: {}", path.display(), line.trim())));
        }
        Ok(())
    }

    /// A task that is begun elsewhere could panic, and nobody would know.
    #[test]
    fn every_task_is_begun_here() {
        let mut found = Vec::new();
        begun(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found).unwrap();
        // Awaited where it is begun, so its panic is an error there; it runs on a thread without a reactor.
        let awaited = "let sending = self.runtime.spawn(";
        found.retain(|line| !line.contains("tasks.rs") && !line.contains(awaited));
        assert!(found.is_empty(), "begin them by `tasks`: {found:#?}");
    }
}
