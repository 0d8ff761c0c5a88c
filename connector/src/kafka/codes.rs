//! What the client's error codes mean: whether it may pass, and what helps.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::QueryErrorKind;

/// What to allow, or to set, after an error of this kind; it goes on after the error's text.
pub(crate) fn remedy(code: RDKafkaErrorCode) -> &'static str {
    use RDKafkaErrorCode as Code;
    match code {
        Code::TopicAuthorizationFailed => "; allow this user Read on the topic, which includes Describe",
        Code::GroupAuthorizationFailed => "; allow this user Read on the group kafka.group_id",
        Code::ClusterAuthorizationFailed => "; allow this user DescribeConfigs on the cluster",
        Code::InvalidSessionTimeout => {
            "; set session.timeout.ms in kafka.properties within the brokers' group.min.session.timeout.ms and \
             group.max.session.timeout.ms"
        }
        Code::InconsistentGroupProtocol => {
            "; other members of the group kafka.group_id are no replicas of this job: name a group of its own"
        }
        Code::FencedInstanceId => {
            "; another process has the same group.instance.id: remove it from kafka.properties, or give each replica its own"
        }
        Code::Authentication | Code::SaslAuthenticationFailed => {
            "; set sasl.username and sasl.password in kafka.properties as the brokers know them"
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition => {
            "; correct its name, create it first, or allow this user Describe on it: a topic that may not be seen looks the same"
        }
        _ => "",
    }
}

pub(super) fn code_of(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
}

pub(crate) fn kind_of(code: RDKafkaErrorCode) -> QueryErrorKind {
    use RDKafkaErrorCode as Code;
    match code {
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::TimedOutQueue
        | Code::BrokerNotAvailable
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::NetworkException
        | Code::ReplicaNotAvailable
        | Code::KafkaStorageError
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::OffsetNotAvailable
        // What the client says of a partition that is new: it has no leader yet, or the
        // client has not heard of it.
        | Code::NoEnt
        | Code::UnknownPartition => QueryErrorKind::Unreachable,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::ClusterAuthorizationFailed => QueryErrorKind::Unauthorized,
        Code::UnknownTopic | Code::UnknownTopicOrPartition => QueryErrorKind::Missing,
        Code::UnsupportedFeature | Code::UnsupportedVersion => QueryErrorKind::Unsupported,
        Code::InvalidArgument
        | Code::InvalidTopic
        | Code::SSL
        | Code::InvalidSessionTimeout
        | Code::InconsistentGroupProtocol
        | Code::FencedInstanceId => QueryErrorKind::Config,
        _ => QueryErrorKind::Other,
    }
}

/// Whether a reader gets over an error by itself: whoever has it goes away, or the
/// group goes on without this member's doing.
pub(crate) fn passes(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(kind_of(code), QueryErrorKind::Unreachable | QueryErrorKind::Missing)
        || matches!(
            code,
            Code::PollExceeded
                | Code::RebalanceInProgress
                | Code::IllegalGeneration
                | Code::UnknownMemberId
                // A broker's own failure: the client fetches the same offset again.
                | Code::Unknown
        )
}
