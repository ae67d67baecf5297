//! The macro that turns the declarations of `schema` into the types of the configuration and the list of its keys.

/// Declares the sections of [`Config`]. Each line declares a field, its documentation, its default, the function that
/// checks its values, and its entry in [`SETTINGS`].
macro_rules! sections {
    ($(
        $(#[doc = $about:literal])+
        $section:ident: $Section:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty = $default:tt, $kind:ident $(from $low:tt to $high:tt)?;
            )+
        }
    )+) => {
        $(
            $(#[doc = $about])+
            #[derive(Debug, Clone, PartialEq)]
            pub struct $Section {
                $(
                    $(#[doc = $doc])+
                    #[doc = ""]
                    #[doc = concat!("Default `", stringify!($default), "`" $(, ", from `", stringify!($low), "` to `", stringify!($high), "`")?, ".")]
                    pub $field: $type,
                )+
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self {
                        $($field: parse_default(stringify!($default), |value| {
                            value::$kind(value $(, $low, $high)?)
                        }),)+
                    }
                }
            }
        )+

        /// The whole configuration, with checked values. See the [module](crate::config) for its sources.
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct Config {
            $($(#[doc = $about])+ pub $section: $Section,)+
        }

        /// All keys, in the order of their declaration.
        pub const SETTINGS: &[Setting] = &[$($(Setting {
            key: concat!(stringify!($section), ".", stringify!($field)),
            default: stringify!($default),
            range: [$(Some((stringify!($low), stringify!($high))),)? None][0],
            description: &[$($doc),+],
            set: |config, value| {
                config.$section.$field = value::$kind(value $(, $low, $high)?)?;
                Ok(())
            },
        },)+)+];
    };
}

pub(crate) use sections;
