//! The mistakes that can be put into the model, one at a time. Each drops one rule;
//! `controls.rs` says where it is caught.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Takes a successful PUT for a commit, or for the genesis, without looking at the chain again.
    TrustStoredReply,
    /// Drops a file from `unpublished` before its staged copy is deleted.
    DropBeforeDelete,
    /// Deletes staged files because they are old, not because they can never be committed.
    CollectStagedByAge,
    /// After losing a slot, puts the same commit on the newest state without looking at the lanes.
    BlindRebase,
    /// Rolls back within the same incarnation.
    RollbackKeepsIncarnation,
    /// Publishes first and commits afterwards.
    PublishBeforeCommit,
    /// Takes absence from a history that does not reach back far enough for a refusal.
    ShortHistoryMeansFenced,
    /// Takes the body it got for the newest state, without listing again.
    LoadWithoutConfirm,
    /// Collects staged files whose incarnation differs, or whose offsets are passed in another incarnation.
    CollectAcrossIncarnations,
    /// Collects staged files whose offsets are passed even though they are committed and unpublished.
    CollectUnpublished,
    /// Publishes while retracted files may still be visible.
    PublishDuringRetraction,
    /// Restores a point that an earlier rollback has cut off.
    RestoreCutBranch,
    /// Erases the final of a retracted file before its staged copy.
    EraseFinalFirst,
    /// Takes a change of incarnation for proof that its commit was refused.
    FencedByIncarnation,
    /// Retracts only what is visible, not what is committed and unpublished.
    RetractVisibleOnly,
    /// Raises the alarm when it finds neither copy, without loading the newest state first.
    AlarmWithoutReload,
    /// Lets finals be moved away, and erases them, while an old copy may still be running.
    NoCopyGrace,

    /// Creates the genesis with a PUT that replaces.
    GenesisOverwrites,
    /// Goes on from its own genesis without looking whose was stored.
    LoserKeepsOwnStart,
    /// Creates a genesis whenever there is no chain, whatever lies in the table.
    FreshStartAfterLoss,
    /// Reports a lost chain as soon as it finds files of the job, without listing the chain once more.
    RefuseWithoutSecondLook,
    /// Takes a newly assigned lane into an attempt that has begun without it.
    JoinBegunAttempt,
    /// Commits the first records of a new lane without checking that the lane is still new.
    NewLaneUnchecked,
    /// Checks only the lanes that the commit has records of, not all that the attempt began with.
    CheckOnlyLanesWithData,
    /// Rolls back without retracting the files of lanes that the restored point does not know.
    RollbackForgetsNewLanes,
    /// Moves the manifest before the data.
    ManifestFirst,
    /// Sends the checkpoint before the manifest is staged.
    CommitBeforeManifest,
    /// Collects what is staged of a retracted commit, which is of an older incarnation after all.
    CollectRetracted,
    /// Erases the manifest of a retracted commit before its data.
    EraseManifestFirst,

    /// Replays rejects without depending on the lane that counts those replayed so far.
    ReplayUnguarded,
    /// Lists the commits before it loads the state that it replays by.
    ReplayListsFirst,
    /// Takes every commit that is stored for one in force.
    ReplayRetracted,
}
