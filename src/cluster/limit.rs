//! The limits of an app whose passing is counted where it happens: in its processes.

/// One that a process counts. Its place in [`Limit::ALL`] is its place in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `memory`: a grow that failed.
    Memory,
    /// `cpu-limit`: a guest that was stopped.
    Cpu,
    /// `request-timeout`: a request that was not answered in time.
    Request,
    /// `message-size`: a message that was refused.
    MessageSize,
    /// `message-rate`: a message or question that was refused.
    MessageRate,
    /// `queue-size`: a message or question that was refused, since the way out was full.
    QueueSize,
    /// `log-rate`: a line that was dropped.
    LogRate,
    /// `connections`: one that was refused, and went elsewhere or waited.
    Connections,
    /// `body-size`: a request that was refused.
    BodySize,
    /// `body-timeout`: a request that was refused.
    BodyTimeout,
    /// `outbound-connections`: a request to another host that was refused.
    OutboundConnections,
    /// `outbound-size`: a request to another host, or its response, that was cut.
    OutboundSize,
    /// `header-size`: a head of HTTP/1 that was refused.
    HeaderSize,
    /// `header-timeout`: a client that was given up with no head, or a part of one; not an idle one.
    HeaderTimeout,
    /// `write-timeout`: a client that was given up, since it did not read.
    WriteTimeout,
}

impl Limit {
    /// All, in the order of their declaration.
    pub const ALL: [Self; 15] = [
        Self::Memory,
        Self::Cpu,
        Self::Request,
        Self::MessageSize,
        Self::MessageRate,
        Self::QueueSize,
        Self::LogRate,
        Self::Connections,
        Self::BodySize,
        Self::BodyTimeout,
        Self::OutboundConnections,
        Self::OutboundSize,
        Self::HeaderSize,
        Self::HeaderTimeout,
        Self::WriteTimeout,
    ];

    /// The manifest's key.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu-limit",
            Self::Request => "request-timeout",
            Self::MessageSize => "message-size",
            Self::MessageRate => "message-rate",
            Self::QueueSize => "queue-size",
            Self::LogRate => "log-rate",
            Self::Connections => "connections",
            Self::BodySize => "body-size",
            Self::BodyTimeout => "body-timeout",
            Self::OutboundConnections => "outbound-connections",
            Self::OutboundSize => "outbound-size",
            Self::HeaderSize => "header-size",
            Self::HeaderTimeout => "header-timeout",
            Self::WriteTimeout => "write-timeout",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_declaration() {
        for (place, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, place, "{limit:?}");
        }
    }
}
