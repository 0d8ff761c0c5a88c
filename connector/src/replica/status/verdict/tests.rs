use jiff::Timestamp;

use super::*;
use crate::replica::status::conditions::Cause;

fn facts(samples: &[Sample]) -> Facts<'_> {
    Facts {
        state: ReplicaState::Running,
        checkpoint_age: Some(Duration::from_secs(12)),
        interval: Duration::from_secs(60),
        behind: Some(Duration::from_secs(86_400)),
        lag_lso: Some(5),
        held_back: None,
        rows_without_values: 0,
        rejects: Some(0),
        rejects_limit: Some(0),
        reject_ratio: None,
        unpublished: 1,
        unsent: None,
        retracted: None,
        copy_grace: Duration::from_secs(600),
        reload_failure: None,
        conditions: &[],
        samples,
    }
}

fn sample(records_per_second: f64, lag: u64) -> Sample {
    Sample {
        time: Timestamp::UNIX_EPOCH,
        records_per_second,
        bytes_per_second: records_per_second * 100.0,
        rows_per_second: 0.0,
        lag_lso: Some(lag),
        lag_hw: Some(lag),
        limit_bytes_per_second: None,
        latency: None,
    }
}

fn codes(facts: &Facts<'_>) -> Vec<&'static str> {
    judge(facts).problems.iter().map(|finding| finding.code).collect()
}

#[test]
fn a_job_that_checkpoints_in_time_is_well_though_it_has_lag() {
    assert_eq!(judge(&facts(&[])), Verdict { level: Level::Ok, problems: Vec::new() });
}

#[test]
fn what_stands_still_is_bad_and_names_its_reason_and_for_how_long() {
    let held = |cause, subject: &str, text: &str| {
        let condition =
            Condition { cause, subject: subject.into(), text: text.into(), since: Timestamp::UNIX_EPOCH };
        (condition, Duration::from_secs(45))
    };
    let conditions = [
        held(Cause::TopicMissing, "orders", "topic orders does not exist"),
        held(Cause::NotPublished, "", "publishing fails again and again: no room"),
    ];
    let verdict = judge(&Facts { conditions: &conditions, ..facts(&[]) });
    assert_eq!(verdict.level, Level::Bad);
    let found: Vec<_> = verdict.unready().map(|f| (f.code, f.subject.as_str(), f.text.as_str())).collect();
    assert_eq!(
        found,
        [
            ("topic_missing", "orders", "Topic orders does not exist (for 45 s)."),
            ("not_published", "", "Publishing fails again and again: no room (for 45 s)."),
        ]
    );
}

#[test]
fn no_checkpoint_while_records_wait_is_bad_and_without_them_is_a_quiet_topic() {
    let late = Facts { checkpoint_age: Some(Duration::from_secs(181)), ..facts(&[]) };
    let verdict = judge(&late);
    assert_eq!(verdict.level, Level::Bad);
    assert_eq!(verdict.problems[0].text, "No checkpoint for 3 minutes, and 5 records wait.");
    assert_eq!(codes(&Facts { lag_lso: Some(0), ..late.clone() }), [""; 0]);
    assert_eq!(codes(&Facts { lag_lso: None, ..late.clone() }), [""; 0], "not known is not waiting");
    let just = Some(Duration::from_secs(1));
    assert_eq!(
        codes(&Facts { behind: just, ..late.clone() }),
        [""; 0],
        "the first record after a quiet night"
    );
    assert_eq!(codes(&Facts { state: ReplicaState::Paused, ..late }), ["paused"], "nobody expects any");
    let often = Facts {
        interval: Duration::from_millis(200),
        checkpoint_age: Some(Duration::from_secs(29)),
        ..facts(&[])
    };
    assert_eq!(codes(&often), [""; 0], "a short interval is no reason for haste");
}

#[test]
fn silence_while_records_wait_is_bad_unless_a_checkpoint_is_all_they_wait_for() {
    let silent = vec![sample(0.0, 7); 6];
    let late = Facts { checkpoint_age: Some(Duration::from_secs(150)), ..facts(&silent) };
    assert_eq!(codes(&late), ["not_reading"]);
    assert_eq!(codes(&facts(&silent)), [""; 0]);
    let mut busy = silent.clone();
    busy[2] = sample(1.0, 7);
    assert_eq!(codes(&Facts { samples: &busy, ..late.clone() }), [""; 0]);
    assert_eq!(codes(&Facts { samples: &silent[1..], ..late }), [""; 0], "too short to tell");
}

#[test]
fn lag_that_grows_for_ten_minutes_is_worth_a_look_and_names_the_limit_if_that_is_why() {
    let growing: Vec<_> = (0..120).map(|n| sample(100.0, 1_000 * n + 500 * (n % 7))).collect();
    assert_eq!(codes(&facts(&growing)), ["falling_behind"]);
    let limited: Vec<_> =
        growing.iter().map(|s| Sample { limit_bytes_per_second: Some(10_500), ..*s }).collect();
    assert!(judge(&facts(&limited)).problems[0].remedy.contains("raise the limit"));
    let level: Vec<_> = (0..120).map(|n| sample(100.0, 1_000 * (n % 12))).collect();
    assert_eq!(codes(&facts(&level)), [""; 0], "up and down with each checkpoint");
}

#[test]
fn the_most_urgent_comes_first() {
    let all = Facts {
        checkpoint_age: Some(Duration::from_secs(10_000)),
        held_back: Some(("orders-3".into(), Duration::from_secs(250), 1_204)),
        rejects: Some(8),
        rejects_limit: Some(10),
        unpublished: 10,
        ..facts(&[])
    };
    assert_eq!(codes(&all), ["no_checkpoint", "held_back", "rejects", "unpublished"]);
    let held = &judge(&all).problems[1].text;
    assert_eq!(held, "An open transaction upstream has held back 1,204 records of orders-3 for 4 minutes.");
    let brief = Facts { held_back: Some(("t-0".into(), Duration::from_secs(59), 1)), ..facts(&[]) };
    assert_eq!(codes(&brief), [""; 0], "transactions are open for a while");
    assert_eq!(
        codes(&Facts { state: ReplicaState::Starting, ..all.clone() }),
        ["held_back", "rejects", "unpublished", "starting"]
    );
}

#[test]
fn what_was_taken_back_is_waited_for_and_then_something_is_wrong() {
    let after = |seconds| Facts {
        state: ReplicaState::Starting,
        retracted: Some((1_200, Duration::from_secs(seconds))),
        ..facts(&[])
    };
    let verdict = judge(&after(719));
    assert_eq!(verdict.level, Level::Wait);
    assert_eq!(verdict.problems[0].text, "Not erased yet: 1,200 commits and files, taken back.");
    assert_eq!(codes(&after(719)), ["not_erased", "starting"]);
    assert_eq!(judge(&after(720)).level, Level::Bad);
}

#[test]
fn a_ratio_of_rejects_near_its_limit_is_worth_a_look() {
    let ratio = RejectRatio { most: 0.01, window_seconds: Some(600.0), rejects: 80, records: 10_000 };
    let with = |ratio| Facts { rejects_limit: None, reject_ratio: Some(ratio), ..facts(&[]) };
    assert_eq!(codes(&with(ratio)), ["reject_ratio"]);
    assert_eq!(
        judge(&with(ratio)).problems[0].text,
        "80 of 10,000 records of the last 10 minutes were rejected, and error_limit.ratio is 0.01."
    );
    assert_eq!(codes(&with(RejectRatio { rejects: 79, ..ratio })), [""; 0]);
    let few = RejectRatio { rejects: 50, records: 99, ..ratio };
    assert_eq!(codes(&with(few)), [""; 0], "a few records are no ratio");
    assert_eq!(codes(&with(RejectRatio { most: 0.0, ..ratio })), [""; 0], "none is allowed at all");
}

#[test]
fn rejects_on_their_way_are_worth_a_look_when_they_are_late_and_somebody_sends() {
    let late = Facts { unsent: Some((3, Duration::from_secs(480))), ..facts(&[]) };
    assert_eq!(codes(&late), ["unsent"]);
    assert_eq!(
        judge(&late).problems[0].text,
        "The rejects of 3 commits are not in their topic, the oldest for 8 minutes."
    );
    assert_eq!(codes(&Facts { unsent: Some((3, Duration::from_secs(479))), ..late.clone() }), [""; 0]);
    assert_eq!(codes(&Facts { state: ReplicaState::Paused, ..late.clone() }), ["unsent", "paused"]);
    assert_eq!(codes(&Facts { state: ReplicaState::Holding, ..late }), ["holding"]);
}

#[test]
fn a_job_file_that_is_not_taken_over_is_worth_a_look_with_the_first_reason() {
    let failure = "job.yaml: line 3: a tab; use spaces\njob.yaml: line 9: the same";
    let verdict = judge(&Facts { reload_failure: Some(failure), ..facts(&[]) });
    assert_eq!((verdict.level, verdict.problems[0].code), (Level::Warn, "reload_failed"));
    let remedy = &verdict.problems[0].remedy;
    assert!(remedy.starts_with("job.yaml: line 3: a tab; use spaces. The job goes on"), "{remedy}");
    assert!(!remedy.contains("line 9"), "{remedy}");
}

#[test]
fn what_a_stop_leads_to_is_said_of_both_ways() {
    let verdict = judge(&Facts { state: ReplicaState::Stopping, ..facts(&[]) });
    let remedy = &verdict.problems[0].remedy;
    assert!(remedy.contains("next start goes on") && remedy.contains("until the job is resumed"), "{remedy}");
}

#[test]
fn numbers_have_commas() {
    assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
}

#[test]
fn rows_of_nulls_are_worth_a_word() {
    assert_eq!(codes(&Facts { rows_without_values: 3, ..facts(&[]) }), ["rows_without_values"]);
}
