//! What the first start waits for: Kafka must say where each partition begins, and,
//! where columns are inferred, give a sample of it. Neither can be had of a partition
//! without a leader. A chain that begins without it would begin it elsewhere.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::watch;

use super::{Asking, RunError, look};
use crate::kafka::cluster::Cluster;
use crate::replica::status::Status;
use crate::replica::status::conditions::Cause;

/// Between two questions.
const AGAIN: Duration = Duration::from_secs(1);

/// Asks until there is an answer, and says meanwhile what is missing.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    pub(super) cluster: &'a dyn Cluster,
    pub(super) status: &'a Status,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) asking: Asking,
    /// A bounded run fails instead: it ends anyway, and whoever has started it hears of it.
    pub(super) until_end: bool,
}

impl Waiting<'_> {
    /// `None`: the job is to stop meanwhile. Nothing has begun by then.
    ///
    /// Errors: those of `ask` that asking again does not mend.
    pub(super) async fn until<T, A>(&self, ask: impl Fn() -> A) -> Result<Option<T>, RunError>
    where
        A: Future<Output = Result<T, RunError>>,
    {
        if self.until_end {
            return ask().await.map(Some);
        }
        let answer = tokio::select! {
            biased;
            () = self.stopped() => Ok(None),
            answer = self.asked_again(ask) => answer.map(Some),
        };
        self.tell(None).await;
        answer
    }

    async fn asked_again<T, A>(&self, ask: impl Fn() -> A) -> Result<T, RunError>
    where
        A: Future<Output = Result<T, RunError>>,
    {
        loop {
            match ask().await {
                Err(RunError::Failed(why, _)) => self.tell(Some(&why)).await,
                answer => return answer,
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn stopped(&self) {
        tokio::select! {
            () = holds(self.stop.clone(), |stop| *stop) => {}
            () = holds(self.asking.clone(), |control| control.as_ref().is_some_and(|c| c.stopped)) => {}
        }
    }

    /// The partitions without a leader; where it is none of these, the reason as it came.
    async fn tell(&self, why: Option<&str>) {
        let mut no_leader = Default::default();
        if why.is_some()
            && let Ok(topics) = self.cluster.look(&BTreeSet::new()).await
        {
            no_leader = look::judge(&topics, &BTreeSet::new()).remove(&Cause::NoLeader).unwrap_or_default();
        }
        let waiting = why.filter(|_| no_leader.is_empty());
        self.status.set_waiting(waiting.map(|why| format!("the first start waits for Kafka: {why}")));
        self.status.set_conditions(Cause::NoLeader, no_leader, jiff::Timestamp::now());
    }
}

/// Never ends once nobody can change the value any more.
async fn holds<T>(mut value: watch::Receiver<T>, condition: impl Fn(&T) -> bool) {
    if value.wait_for(condition).await.is_err() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::flow::run::nobody_asks;
    use crate::flow::run::start::tests::HasRead;

    struct Scene {
        cluster: HasRead,
        status: Status,
        stop: watch::Sender<bool>,
    }

    impl Scene {
        fn new() -> Self {
            let cluster = HasRead::default();
            Self { cluster, status: Status::default(), stop: watch::channel(false).0 }
        }

        fn waiting(&self, until_end: bool) -> Waiting<'_> {
            let (stop, asking) = (self.stop.subscribe(), nobody_asks());
            Waiting { cluster: &self.cluster, status: &self.status, stop, asking, until_end }
        }

        fn told(&self) -> Vec<Cause> {
            self.status.conditions().into_iter().map(|condition| condition.cause).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_asked_again_and_told_meanwhile() {
        let (scene, asked) = (Scene::new(), Cell::new(0));
        let ask = || async {
            asked.set(asked.get() + 1);
            match asked.get() {
                1 => Err(RunError::failed("no leader yet")),
                n => {
                    assert_eq!(scene.told(), [Cause::Waiting]);
                    Ok(n)
                }
            }
        };
        assert_eq!(scene.waiting(false).until(ask).await.unwrap(), Some(2));
        assert_eq!(scene.told(), [], "no longer");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_pass_and_what_a_bounded_run_meets_is_an_error() {
        let scene = Scene::new();
        let wrong = || async { Err::<(), _>(RunError::Config("no such topic".into(), None)) };
        assert_eq!(scene.waiting(false).until(wrong).await.unwrap_err().exit_code(), 2);
        let failing = || async { Err::<(), _>(RunError::failed("no leader yet")) };
        assert_eq!(scene.waiting(true).until(failing).await.unwrap_err().exit_code(), 1);
        assert_eq!(scene.told(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_wait() {
        let scene = Scene::new();
        let failing = || async { Err::<(), _>(RunError::failed("no leader yet")) };
        let stop = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(scene.told(), [Cause::Waiting]);
            scene.stop.send_replace(true);
        };
        let waiting = scene.waiting(false);
        let (ended, ()) = tokio::join!(waiting.until(failing), stop);
        assert_eq!(ended.unwrap(), None);
    }
}
