//! Mistakes that tests put into the protocol on purpose, to see that somebody notices: a rule whose removal nobody
//! notices is either superfluous or untested. Compiled in with the feature `mistakes` alone; without it every
//! question below is a constant.

#[cfg(feature = "mistakes")]
mod put_in {
    use std::cell::Cell;

    thread_local! {
        /// The simulation runs on one thread, so mistakes of two runs at once do not mix.
        static NAME: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    /// Puts the mistake of this name into all that runs on this thread, until it is dropped.
    #[must_use = "the mistake is taken out when this is dropped"]
    #[derive(Debug)]
    pub struct PutIn(());

    impl PutIn {
        pub fn new(name: &'static str) -> Self {
            NAME.set(Some(name));
            Self(())
        }
    }

    impl Drop for PutIn {
        fn drop(&mut self) {
            NAME.set(None);
        }
    }

    pub(super) fn name() -> Option<&'static str> {
        NAME.get()
    }
}

#[cfg(feature = "mistakes")]
pub use put_in::PutIn;

/// Whether this mistake is to be made.
#[cfg(feature = "mistakes")]
pub fn made(name: &str) -> bool {
    put_in::name() == Some(name)
}

#[cfg(not(feature = "mistakes"))]
#[inline(always)]
pub fn made(_name: &str) -> bool {
    false
}
