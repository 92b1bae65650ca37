//! The raw encoding: a value that is text or bytes is its own payload.
//!
//! A small serde format of one type. Sequences of `u8` are accepted too, so
//! that a plain `Vec<u8>` works, if more slowly than a real byte string.

use bytes::Bytes;
use serde::de::value::SeqDeserializer;
use serde::de::{DeserializeOwned, Error, Visitor};
use serde::ser::{Impossible, SerializeSeq, SerializeTuple};
use serde::{Deserializer, Serialize, Serializer, forward_to_deserialize_any};

use crate::PayloadError;

pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, PayloadError> {
    value.serialize(RawSerializer).map(Bytes::from)
}

pub(crate) fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, PayloadError> {
    T::deserialize(RawDeserializer(payload))
}

fn refuse<T>(what: &str) -> Result<T, PayloadError> {
    Err(PayloadError::custom_text(what))
}

impl PayloadError {
    fn custom_text(what: &str) -> PayloadError {
        <PayloadError as serde::ser::Error>::custom(format_args!(
            "raw encoding carries text or bytes, not {what}"
        ))
    }
}

struct RawSerializer;

macro_rules! refuse_number {
    ($($method:ident: $type:ty),*) => {$(
        fn $method(self, _: $type) -> Result<Vec<u8>, PayloadError> {
            refuse("a number")
        }
    )*};
}

type NoCompound = Impossible<Vec<u8>, PayloadError>;

impl Serializer for RawSerializer {
    type Ok = Vec<u8>;
    type Error = PayloadError;
    type SerializeSeq = ByteSequence;
    type SerializeTuple = ByteSequence;
    type SerializeTupleStruct = NoCompound;
    type SerializeTupleVariant = NoCompound;
    type SerializeMap = NoCompound;
    type SerializeStruct = NoCompound;
    type SerializeStructVariant = NoCompound;

    refuse_number!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_f32: f32, serialize_f64: f64
    );

    fn serialize_bool(self, _: bool) -> Result<Vec<u8>, PayloadError> {
        refuse("a boolean")
    }
    fn serialize_char(self, c: char) -> Result<Vec<u8>, PayloadError> {
        Ok(c.to_string().into_bytes())
    }
    fn serialize_str(self, text: &str) -> Result<Vec<u8>, PayloadError> {
        Ok(text.as_bytes().to_vec())
    }
    fn serialize_bytes(self, bytes: &[u8]) -> Result<Vec<u8>, PayloadError> {
        Ok(bytes.to_vec())
    }
    fn serialize_none(self) -> Result<Vec<u8>, PayloadError> {
        refuse("an option")
    }
    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Vec<u8>, PayloadError> {
        refuse("an option")
    }
    fn serialize_unit(self) -> Result<Vec<u8>, PayloadError> {
        Ok(Vec::new())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<Vec<u8>, PayloadError> {
        Ok(Vec::new())
    }
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
    ) -> Result<Vec<u8>, PayloadError> {
        refuse("an enum")
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Vec<u8>, PayloadError> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Vec<u8>, PayloadError> {
        refuse("an enum")
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<ByteSequence, PayloadError> {
        Ok(ByteSequence(Vec::with_capacity(len.unwrap_or(0))))
    }
    fn serialize_tuple(self, len: usize) -> Result<ByteSequence, PayloadError> {
        self.serialize_seq(Some(len))
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<NoCompound, PayloadError> {
        refuse("a struct")
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<NoCompound, PayloadError> {
        refuse("an enum")
    }
    fn serialize_map(self, _: Option<usize>) -> Result<NoCompound, PayloadError> {
        refuse("a map")
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<NoCompound, PayloadError> {
        refuse("a struct")
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<NoCompound, PayloadError> {
        refuse("an enum")
    }
}

struct ByteSequence(Vec<u8>);

impl ByteSequence {
    fn push<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), PayloadError> {
        self.0.push(element.serialize(ByteElement)?);
        Ok(())
    }
}

impl SerializeSeq for ByteSequence {
    type Ok = Vec<u8>;
    type Error = PayloadError;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, e: &T) -> Result<(), PayloadError> {
        self.push(e)
    }
    fn end(self) -> Result<Vec<u8>, PayloadError> {
        Ok(self.0)
    }
}

impl SerializeTuple for ByteSequence {
    type Ok = Vec<u8>;
    type Error = PayloadError;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, e: &T) -> Result<(), PayloadError> {
        self.push(e)
    }
    fn end(self) -> Result<Vec<u8>, PayloadError> {
        Ok(self.0)
    }
}

/// Accepts a single `u8` and nothing else.
struct ByteElement;

type NoByte = Impossible<u8, PayloadError>;

macro_rules! not_a_byte {
    ($($method:ident($($type:ty),*);)*) => {$(
        fn $method(self, $(_: $type),*) -> Result<u8, PayloadError> {
            refuse("a list of other things")
        }
    )*};
}
macro_rules! not_a_byte_compound {
    ($($method:ident($($type:ty),*);)*) => {$(
        fn $method(self, $(_: $type),*) -> Result<NoByte, PayloadError> {
            refuse("a list of other things")
        }
    )*};
}

impl Serializer for ByteElement {
    type Ok = u8;
    type Error = PayloadError;
    type SerializeSeq = NoByte;
    type SerializeTuple = NoByte;
    type SerializeTupleStruct = NoByte;
    type SerializeTupleVariant = NoByte;
    type SerializeMap = NoByte;
    type SerializeStruct = NoByte;
    type SerializeStructVariant = NoByte;

    fn serialize_u8(self, byte: u8) -> Result<u8, PayloadError> {
        Ok(byte)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<u8, PayloadError> {
        refuse("a list of other things")
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<u8, PayloadError> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<u8, PayloadError> {
        refuse("a list of other things")
    }
    not_a_byte! {
        serialize_bool(bool); serialize_i8(i8); serialize_i16(i16); serialize_i32(i32);
        serialize_i64(i64); serialize_u16(u16); serialize_u32(u32); serialize_u64(u64);
        serialize_f32(f32); serialize_f64(f64); serialize_char(char); serialize_str(&str);
        serialize_bytes(&[u8]); serialize_none(); serialize_unit();
        serialize_unit_struct(&'static str);
        serialize_unit_variant(&'static str, u32, &'static str);
    }
    not_a_byte_compound! {
        serialize_seq(Option<usize>); serialize_tuple(usize);
        serialize_tuple_struct(&'static str, usize);
        serialize_tuple_variant(&'static str, u32, &'static str, usize);
        serialize_map(Option<usize>); serialize_struct(&'static str, usize);
        serialize_struct_variant(&'static str, u32, &'static str, usize);
    }
}

struct RawDeserializer<'a>(&'a [u8]);

impl<'de> Deserializer<'de> for RawDeserializer<'de> {
    type Error = PayloadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PayloadError> {
        visitor.visit_bytes(self.0)
    }
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PayloadError> {
        match std::str::from_utf8(self.0) {
            Ok(text) => visitor.visit_borrowed_str(text),
            Err(e) => Err(<PayloadError as Error>::custom(e)),
        }
    }
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PayloadError> {
        self.deserialize_str(visitor)
    }
    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PayloadError> {
        self.deserialize_str(visitor)
    }
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PayloadError> {
        visitor.visit_borrowed_bytes(self.0)
    }
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PayloadError> {
        visitor.visit_byte_buf(self.0.to_vec())
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PayloadError> {
        visitor.visit_seq(SeqDeserializer::new(self.0.iter().copied()))
    }
    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, PayloadError> {
        if self.0.len() == len {
            self.deserialize_seq(visitor)
        } else {
            Err(PayloadError::invalid_length(self.0.len(), &visitor))
        }
    }
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PayloadError> {
        if self.0.is_empty() {
            visitor.visit_unit()
        } else {
            Err(PayloadError::invalid_length(self.0.len(), &"nothing"))
        }
    }
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, PayloadError> {
        self.deserialize_unit(visitor)
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, PayloadError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 option
        tuple_struct map struct enum identifier ignored_any
    }
}
