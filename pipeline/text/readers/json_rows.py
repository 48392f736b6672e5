"""Read rows of JSON: an object on each line, or the objects of an array. The file is read as a stream."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, TextIO

from pipeline.config import SourceConfig
from pipeline.errors import SourceError
from pipeline.text.readers.reader import InputFile
from pipeline.text.readers.row_columns import MAX_ROW_CHARACTERS, Row, checked_rows, lines_of, top_column
from pipeline.text.readers.tables import TableReader

_BLOCK = 1 << 16  # characters read at once
_MAX_DEPTH = 3  # of objects that a list of rows may be inside
_BLANKS = re.compile(r"[ \t\r\n]*")


def jsonl_rows(file: InputFile, source: SourceConfig) -> Iterator[Row]:
    """Yield the JSON object of each line that is not blank."""
    yield from checked_rows(file.name, _json_lines(file), source)


def json_rows(file: InputFile, source: SourceConfig) -> Iterator[Row]:
    """Yield the objects of a JSON array, or objects that follow each other, each of any number of lines.

    A file that is one object without the text column, with one list of objects in it ({"data": [...]}), is that list.
    """
    yield from checked_rows(file.name, _json_objects(file, source.text_column), source)


class _RepeatedKeyError(ValueError):
    """A key occurs twice in an object, so that one of the values would be lost."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise _RepeatedKeyError(f"the key {name[:60]!r} occurs twice")
    return content


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def _json_lines(path: InputFile) -> Iterator[Row]:
    with path.open_text() as file:
        for number, line in enumerate(lines_of(file), 1):
            if not line.strip():
                continue
            if len(line) > MAX_ROW_CHARACTERS:
                raise SourceError(f"{path}: line {number} has more than {MAX_ROW_CHARACTERS:,} characters; split it")
            try:
                row = _DECODER.decode(line)
            except (ValueError, RecursionError) as error:
                raise _not_json(f"{path}: line {number}", error) from error
            if not isinstance(row, dict):
                hint = "; for a JSON array set source.format=json" if line.lstrip().startswith("[") else ""
                raise SourceError(
                    f'{path}: line {number} is not a JSON object: write {{"text": ...}} on each line{hint}'
                )
            yield row


def _json_objects(path: InputFile, text_column: str) -> Iterator[Row]:
    with path.open_text() as file:
        stream = _JsonStream(file, path)
        is_array = stream.next_character() == "["
        if is_array:
            stream.skip()
        is_first = True
        while (character := stream.next_character()) and not (is_array and character == "]"):
            if character == "," and is_array and not is_first:
                stream.skip()
                if stream.next_character() == "]":
                    raise SourceError(
                        f"{path}: line {stream.line}: there is no object after the comma; delete the comma"
                    )
            elif is_array and not is_first:
                raise SourceError(f"{path}: line {stream.line} is not JSON (',' or ']' is missing); correct it")
            line = stream.line
            row = stream.value()
            if not isinstance(row, dict):
                raise SourceError(f'{path}: line {line} is not a JSON object: write [{{"text": ...}}, ...]')
            if is_first and not is_array and top_column(text_column, row) is None and not stream.next_character():
                yield from _rows_inside(f"{path}: line {line}", row)
                return
            yield row
            is_first = False
        if is_array and character != "]":
            raise SourceError(f"{path}: the array is not closed; the file seems to be cut off")
        stream.skip()
        if stream.next_character():
            raise SourceError(
                f"{path}: line {stream.line}: there is text after the array; put all objects into one array"
            )


def _rows_inside(where: str, content: dict[str, Any]) -> Iterator[Row]:
    """Yield the rows of the only list of objects in an object; the object itself if it has no list of objects."""
    lists = list(_lists_of_objects("", content))
    if len(lists) > 1:
        names = ", ".join(name for name, _ in lists)
        raise SourceError(f"{where}: the object has several lists of rows ({names}); keep one, or make a file of each")
    if not lists:
        is_empty = len(content) == 1 and [*content.values()] == [[]]
        yield from () if is_empty else (content,)
        return
    name, rows = lists[0]
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise SourceError(f"{where}: entry {number} of {name!r} is not a JSON object, as the others are")
        yield row


def _lists_of_objects(prefix: str, content: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """Yield the lists with an object in them, and their names, also those in objects inside: response.docs."""
    for key, value in content.items():
        if isinstance(value, list) and any(isinstance(each, dict) for each in value):
            yield f"{prefix}{key}", value
        elif isinstance(value, dict) and prefix.count(".") < _MAX_DEPTH:
            yield from _lists_of_objects(f"{prefix}{key}.", value)


class _JsonStream:
    """Parses one JSON value after the other, with a part of the file in memory."""

    def __init__(self, file: TextIO, path: InputFile) -> None:
        self.line = 1
        self._file = file
        self._path = path
        self._text = ""
        self._position = 0

    def next_character(self) -> str:
        """Return the next character that is not white space, without consuming it; "" at the end."""
        while True:
            self._move_to(_BLANKS.match(self._text, self._position).end())  # type: ignore[union-attr]
            if self._position < len(self._text):
                return self._text[self._position]
            if not self._read(_BLOCK):
                return ""

    def skip(self) -> None:
        """Consume the next character."""
        self._position += 1

    def value(self) -> Any:
        """Parse the JSON value that begins here. The part in memory doubles until it is whole: the cost is linear."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._position)
            except json.JSONDecodeError as error:
                left = len(self._text) - self._position
                if left > MAX_ROW_CHARACTERS or not self._read(max(_BLOCK, left)):
                    raise _not_json(f"{self._path}: line {self.line}", error) from error
            except (ValueError, RecursionError) as error:
                raise _not_json(f"{self._path}: line {self.line}", error) from error
            else:
                self._move_to(end)
                return value

    def _move_to(self, position: int) -> None:
        self.line += self._text.count("\n", self._position, position)
        self._position = position

    def _read(self, num_characters: int) -> bool:
        block = self._file.read(num_characters)
        self._text = self._text[self._position :] + block
        self._position = 0
        return bool(block)


def _not_json(where: str, error: Exception) -> SourceError:
    if isinstance(error, json.JSONDecodeError):
        return SourceError(f"{where} is not JSON ({error.msg} at column {error.colno}); correct or delete it")
    if isinstance(error, RecursionError):
        return SourceError(f"{where} is nested too deeply to be read; correct or delete it")
    return SourceError(f"{where} cannot be read ({error}); correct or delete it")


JSONL = TableReader("jsonl", (".jsonl", ".ndjson"), jsonl_rows)
JSON = TableReader("json", (".json",), json_rows)
