//! How a run ends.

/// What a run did before it stopped clean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub commits: u64,
    pub rows: u64,
    pub rejects: u64,
    pub files: u64,
    /// It stopped because a control object asked it to.
    pub stopped_by_control: bool,
}

impl Summary {
    /// Of a run after this one, in the same process.
    pub(super) fn add(&mut self, next: Self) {
        self.commits += next.commits;
        self.rows += next.rows;
        self.rejects += next.rejects;
        self.files += next.files;
        self.stopped_by_control = next.stopped_by_control;
    }
}
