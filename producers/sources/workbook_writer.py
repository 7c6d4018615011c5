"""Writing one sheet as an .xlsx file, row by row, into a file that is open already.

openpyxl would gather the rows in the system's temporary folder first; they may hold what
only the department may read. The parts are those of ECMA-376, part 1, chapters 8 and 12.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import IO, Any
from xml.sax.saxutils import escape, quoteattr
from zipfile import ZIP_DEFLATED, ZipFile

from openpyxl.utils import get_column_letter

_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_SHEET = "xl/worksheets/sheet1.xml"
_FORMAT = '<xf numFmtId="{}" fontId="0" fillId="0" borderId="0"/>'
_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels"'
    ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_KIND}.sheet.main+xml"/>'
    f'<Override PartName="/{_SHEET}" ContentType="{_KIND}.worksheet+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_KIND}.styles+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1"'
    f' Type="{_RELATION}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_RELATION}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{_RELATION}/styles" Target="styles.xml"/></Relationships>',
    # the formats of cells by number: 0 as it comes, 1 a time, 2 a day
    "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><numFmts count="1">'
    '<numFmt numFmtId="164" formatCode="yyyy-mm-dd hh:mm:ss"/></numFmts>'
    '<fonts count="1"><font><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    f'<cellStyleXfs count="1">{_FORMAT.format(0)}</cellStyleXfs>'
    f'<cellXfs count="3">{_FORMAT.format(0)}{_FORMAT.format(164)}{_FORMAT.format(14)}</cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles>'
    "</styleSheet>",
}
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_TEXT_MAX_CHARS = 32_767
_DAY_0, _DAY = datetime(1899, 12, 30), timedelta(days=1)


class SheetWriter:
    """One sheet of a workbook; a cell is a text, a number, a truth, a time, a day or empty."""

    def __init__(self, file: IO[bytes], *, title: str) -> None:
        """file: stays open. Raises OSError where it cannot be written, as all methods do."""
        self._rows = 0
        self._packed = ZipFile(file, "w", ZIP_DEFLATED)
        for name, text in _PARTS.items():
            self._packed.writestr(name, _HEAD + text)
        self._packed.writestr(
            "xl/workbook.xml",
            f'{_HEAD}<workbook xmlns="{_MAIN}" xmlns:r="{_RELATION}"><sheets>'
            f'<sheet name={quoteattr(title)} sheetId="1" r:id="rId1"/></sheets></workbook>',
        )
        self._sheet = self._packed.open(_SHEET, "w", force_zip64=True)
        self._write(f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>')

    def append(self, values: Sequence[Any]) -> None:
        self._rows += 1
        cells = (
            _cell(f"{get_column_letter(n)}{self._rows}", each) for n, each in enumerate(values, 1)
        )
        self._write(f'<row r="{self._rows}">{"".join(cells)}</row>')

    def finish(self) -> None:
        """End the sheet and the workbook."""
        self._write("</sheetData></worksheet>")
        self._sheet.close()
        self._packed.close()

    def _write(self, text: str) -> None:
        self._sheet.write(text.encode())


def _cell(place: str, value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{value:d}</v></c>'
    if isinstance(value, int | float):
        return f'<c r="{place}"><v>{value!r}</v></c>'
    if isinstance(value, datetime):
        return f'<c r="{place}" s="1"><v>{(value - _DAY_0) / _DAY!r}</v></c>'
    if isinstance(value, date):
        return f'<c r="{place}" s="2"><v>{value.toordinal() - _DAY_0.toordinal()}</v></c>'
    # an inline text is never a formula, though it begins with =
    text = escape(_ILLEGAL.sub("", str(value))[:_TEXT_MAX_CHARS])
    return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'
