//! The bar of a bounded run on a terminal. It shows what the engine says of itself, and decides nothing.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::replica::status::Status;
use crate::tasks;

const REFRESH: Duration = Duration::from_millis(100);
const TEMPLATE: &str = "{msg} {wide_bar:.cyan/dim} {human_pos}/{human_len} records  {per_sec}  {eta}";

/// A bar, where there is a terminal to draw it on.
pub(super) fn bar(message: &str) -> Option<ProgressBar> {
    if !stderr().is_terminal() {
        return None;
    }
    let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    Some(ProgressBar::no_length().with_style(style).with_message(message.to_owned()))
}

/// Moves the bar until it is dropped, which also clears it away.
#[derive(Debug)]
pub(super) struct Following {
    bar: ProgressBar,
    task: tokio::task::JoinHandle<()>,
}

impl Following {
    pub(super) fn start(bar: ProgressBar, status: Arc<Status>) -> Self {
        let shown = bar.clone();
        let task = tasks::spawn("progress", async move {
            let mut total = None;
            loop {
                let read = status.records_read();
                // Known once the ends of the partitions are; what was read before belongs to it.
                if total.is_none() {
                    let lag: u64 = status.partitions().values().filter_map(|partition| partition.lag()).sum();
                    total = (lag > 0).then_some(read + lag);
                }
                if let Some(total) = total {
                    shown.set_length(total.max(read));
                }
                shown.set_position(read);
                tokio::time::sleep(REFRESH).await;
            }
        });
        Self { bar, task }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}
