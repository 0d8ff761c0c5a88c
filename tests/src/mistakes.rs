//! Every mistake that the tests put in on purpose, what it breaks, and who catches it: a rule whose removal
//! nobody notices is either superfluous or untested.

use crate::model::properties::{
    COMMITS_TILE, COMMITTED_EXISTS, MANIFEST_HAS_DATA, NO_FALSE_ALARM, NO_FALSE_REFUSAL, NOTHING_COMES_BACK,
    REPLAYED_ONCE, VISIBLE_IS_COMMITTED, VISIBLE_ONCE,
};
use crate::simulation::wrong::{self, Impatience, Instead, Wrong};

/// One mistake.
#[derive(Clone, Copy, Debug)]
pub struct Mistake {
    pub name: &'static str,
    /// The invariant that it breaks.
    pub breaks: &'static str,
    /// What is done wrong, and how it does harm.
    pub story: &'static str,
    /// Whether the protocol's model has it as a negative control.
    pub caught_by_model: bool,
    /// How it is put into the simulation of the real code, which has it as a negative control.
    /// Not so: what another check of the code makes harmless or a plain error (the loser's
    /// genesis, which the lane check fences; joining a begun attempt, which the stager
    /// refuses); what takes so many coincidences that two hundred seeds do not meet it.
    pub simulated: Option<Wrong>,
}

/// The mistake called `name`.
pub fn mistake(name: &str) -> Option<&'static Mistake> {
    MISTAKES.iter().find(|mistake| mistake.name == name)
}

const fn modelled(name: &'static str, breaks: &'static str, story: &'static str) -> Mistake {
    Mistake { name, breaks, story, caught_by_model: true, simulated: None }
}

const fn simulated(name: &'static str, breaks: &'static str, wrong: Wrong, story: &'static str) -> Mistake {
    Mistake { simulated: Some(wrong), ..modelled(name, breaks, story) }
}

pub const MISTAKES: &[Mistake] = &[
    // Load, commit, publish.
    simulated(
        "trust-200",
        VISIBLE_IS_COMMITTED,
        Wrong::Rules(wrong::trust_success),
        "A successful PUT is taken for a commit: its slot was filled, overtaken and collected before, and the writer publishes a file that was never committed.",
    ),
    modelled(
        "load-unconfirmed",
        VISIBLE_IS_COMMITTED,
        "A load ends with the GET: the slot it listed was collected and filled again by a late PUT, whose file is published.",
    ),
    simulated(
        "drop-before-delete",
        NOTHING_COMES_BACK,
        Wrong::Store(Instead::KeepStaged),
        "A file is dropped before its staged copy is deleted: a user moves it away, and a second publisher copies the left-over again.",
    ),
    simulated(
        "gc-by-age",
        COMMITTED_EXISTS,
        Wrong::Rules(wrong::collect_by_age),
        "Staged files are collected by age: then the commit of one of them lands.",
    ),
    simulated(
        "gc-unpublished",
        COMMITTED_EXISTS,
        Wrong::Rules(wrong::collect_unpublished),
        "Staged files are collected when their offsets are passed: so are those of a commit that waits to be published.",
    ),
    simulated(
        "blind-rebase",
        COMMITS_TILE,
        Wrong::Rules(wrong::rebase_blindly),
        "A commit that lost its slot is put on the newest state without the lane check: the records are committed twice.",
    ),
    simulated(
        "publish-before-commit",
        VISIBLE_IS_COMMITTED,
        Wrong::Store(Instead::PublishWithManifest),
        "Files are published first and committed afterwards: the commit never comes.",
    ),
    simulated(
        "short-history",
        COMMITTED_EXISTS,
        Wrong::Rules(wrong::take_short_history_for_fenced),
        "Absence from a history that does not reach back far enough is taken for Fenced: the writer deletes what it has committed.",
    ),
    simulated(
        "use-when-visible",
        NOTHING_COMES_BACK,
        Wrong::Users(Impatience::Dropping { is_copying: true }),
        "A final is moved away as soon as it is visible: another publisher copies it again from staging.",
    ),
    simulated(
        "rename-false-alarm",
        NO_FALSE_ALARM,
        Wrong::Users(Impatience::Dropping { is_copying: false }),
        "Likewise with rename: another publisher finds neither copy and raises the alarm.",
    ),
    simulated(
        "alarm-without-reload",
        NO_FALSE_ALARM,
        Wrong::Rules(wrong::alarm_without_reload),
        "LOST is raised without loading the newest state: the file was published, dropped and moved away.",
    ),
    simulated(
        "slow-copy-no-grace",
        NOTHING_COMES_BACK,
        Wrong::Users(Impatience::Copies),
        "Nobody waits for copies that still run: one lands after another's final was moved away.",
    ),
    // Rollback.
    simulated(
        "rollback-same-incarnation",
        COMMITTED_EXISTS,
        Wrong::Rules(wrong::roll_back_in_same_incarnation),
        "A rollback keeps the incarnation: it revives the offsets of an attempt whose staged file was collected, and that commits.",
    ),
    modelled(
        "slow-copy-no-grace-rollback",
        VISIBLE_IS_COMMITTED,
        "A retracted final is erased while a copy still runs, which then brings it back.",
    ),
    simulated(
        "gc-across-incarnations",
        COMMITTED_EXISTS,
        Wrong::Rules(wrong::collect_across_incarnations),
        "A collector with a state from before a rollback deletes a newer incarnation's staged file.",
    ),
    modelled(
        "fenced-by-incarnation",
        COMMITTED_EXISTS,
        "A new incarnation is taken for proof that a commit was refused: it lay below the cut and stands.",
    ),
    simulated(
        "publish-during-retraction",
        VISIBLE_ONCE,
        Wrong::Rules(wrong::publish_beside_retracted_commits),
        "Publishing goes on while retracted files are visible: the replayed records stand beside them.",
    ),
    simulated(
        "retract-visible-only",
        VISIBLE_ONCE,
        Wrong::Rules(wrong::retract_visible_only),
        "A rollback forgets what is committed and unpublished: it is published later, beside its replay.",
    ),
    modelled(
        "erase-final-first",
        VISIBLE_IS_COMMITTED,
        "A retracted final is erased before its staged copy: a zombie publishes in between.",
    ),
    simulated(
        "restore-cut-branch",
        COMMITS_TILE,
        Wrong::Rules(wrong::restore_cut_branch),
        "A point that an earlier rollback cut off is restored: its offset lies inside a commit.",
    ),
    simulated(
        "rollback-forgets-new-lanes",
        COMMITS_TILE,
        Wrong::Rules(wrong::forget_new_partitions),
        "Files of a lane that the restored point does not know stay: the lane is read again from its beginning.",
    ),
    // Start of a chain, new lanes.
    simulated(
        "genesis-overwrites",
        COMMITS_TILE,
        Wrong::Store(Instead::OverwriteGenesis),
        "The genesis replaces the one that is there: the starts change under the winner's hands.",
    ),
    modelled(
        "genesis-loser-keeps-start",
        COMMITS_TILE,
        "The loser of the race goes on from the start it resolved itself, instead of the winner's.",
    ),
    modelled(
        "genesis-trust-200",
        VISIBLE_IS_COMMITTED,
        "A late genesis that fills the collected slot 1 is taken for the chain's start, and so on for the next slot.",
    ),
    simulated(
        "fresh-start-after-loss",
        VISIBLE_ONCE,
        Wrong::Settings(|settings| settings.accept_existing_files = true),
        "No chain is found although the job's files are there, and a new one is begun: everything is published twice.",
    ),
    simulated(
        "refuse-without-second-look",
        NO_FALSE_REFUSAL,
        Wrong::Rules(wrong::refuse_without_second_look),
        "A worker lists no chain, then files of one that was created in between, and reports that it was lost.",
    ),
    simulated(
        "publish-beside-foreign",
        VISIBLE_ONCE,
        Wrong::Rules(wrong::publish_beside_foreign_files),
        "With `mode: overwrite`, publishing begins before the foreign files are erased.",
    ),
    simulated(
        "new-lane-unchecked",
        COMMITS_TILE,
        Wrong::Rules(wrong::leave_new_partitions_unchecked),
        "The first commit of a new lane does not check that the lane is still new: two workers commit its first records.",
    ),
    // Attempts and manifests.
    modelled(
        "join-begun-attempt",
        COMMITS_TILE,
        "A newly assigned lane joins an attempt that began without it: begin.json does not name it and nobody checks it.",
    ),
    modelled(
        "check-lanes-with-data-only",
        COMMITTED_EXISTS,
        "A commit checks the lanes it has records of, not all that begin.json names: another lane is passed, the collector takes the attempt for dead, and it commits.",
    ),
    simulated(
        "commit-before-manifest",
        COMMITTED_EXISTS,
        Wrong::Store(Instead::DropManifest),
        "The checkpoint is sent before the manifest is staged: after a crash nobody knows the commit's files.",
    ),
    simulated(
        "manifest-first",
        MANIFEST_HAS_DATA,
        Wrong::Store(Instead::StoreCommitFirst),
        "The manifest is moved before the data: the next publisher takes the commit for finished.",
    ),
    simulated(
        "gc-retracted",
        VISIBLE_IS_COMMITTED,
        Wrong::Rules(wrong::collect_retracted),
        "A retracted commit's staged manifest is collected, being of an older incarnation: nobody can tell any more which finals are to be erased.",
    ),
    simulated(
        "erase-manifest-first",
        VISIBLE_IS_COMMITTED,
        Wrong::Store(Instead::EraseManifestFirst),
        "A retracted commit's manifest is erased before its data: the next eraser finds none and drops the commit.",
    ),
    // Replay of rejects.
    modelled(
        "replay-unguarded",
        REPLAYED_ONCE,
        "A replay does not depend on the lane that counts what was replayed: two replays of the same rejects commit.",
    ),
    modelled(
        "replay-lists-first",
        REPLAYED_ONCE,
        "A replay lists the commits before it loads the state: another replay commits and is published in between, so the lane is right and the list is not.",
    ),
    modelled(
        "replay-retracted",
        REPLAYED_ONCE,
        "A replay takes what is stored for what is in force: it replays rejects of a commit that a rollback took back, and their records are read again.",
    ),
];
