//! [`Assigns`]: values that the channels of one socket share, like Phoenix's `assigns`.

use std::any::Any;
use std::fmt;

/// Values that all channels of one socket share, at most one of each type. The mount's
/// [`connect`](crate::http::mount::Mount::connect) can insert the first ones. They are dropped with the socket.
///
/// ```
/// use handclasp::channels::Assigns;
///
/// struct UserId(u64);
///
/// let mut assigns = Assigns::default();
/// assigns.insert(UserId(7));
/// if let Some(user) = assigns.get_mut::<UserId>() {
///     user.0 += 1;
/// }
/// assert_eq!(assigns.get::<UserId>().map(|user| user.0), Some(8));
/// ```
#[derive(Default)]
pub struct Assigns(Vec<Box<dyn Any>>);

impl Assigns {
    /// Inserts `value`. It replaces an earlier value of the same type.
    pub fn insert<T: Any>(&mut self, value: T) {
        self.remove::<T>();
        self.0.push(Box::new(value));
    }

    /// The value of this type.
    #[must_use]
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.iter().find_map(|value| value.downcast_ref())
    }

    /// The value of this type, mutable.
    pub fn get_mut<T: Any>(&mut self) -> Option<&mut T> {
        self.0.iter_mut().find_map(|value| value.downcast_mut())
    }

    /// Removes and returns the value of this type.
    pub fn remove<T: Any>(&mut self) -> Option<T> {
        let at = self.0.iter().position(|value| value.is::<T>())?;
        self.0.swap_remove(at).downcast().ok().map(|value| *value)
    }
}

impl fmt::Debug for Assigns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Assigns({})", self.0.len())
    }
}
