//! One job's work on the messages of one stack.

/// `M` is the message type of the client.
pub trait Work<M: ?Sized> {
    /// Does the job's work for one message.
    fn message(&mut self, message: &M);

    /// Does the remaining work after the last message, and returns the digest of a checked run.
    fn finish(&mut self) -> Option<u64>;
}

/// Counting needs no work: the stack has decoded the message, and the drain loops count.
pub struct Count;

impl<M: ?Sized> Work<M> for Count {
    fn message(&mut self, _: &M) {}

    fn finish(&mut self) -> Option<u64> {
        None
    }
}
